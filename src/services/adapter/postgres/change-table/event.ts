import type { Env } from '../../../../core/env.ts'
import type { ColumnData } from '../../../../core/batch.ts'
import type { ChangeMessage, ChangeSlice } from '../../../../core/change-slice.ts'
import { fail } from '../../../../core/errors.ts'
import { sql } from '../../../../core/sql.ts'
import type { ColumnDef } from '../../../../core/types.ts'
import { EventChanges } from '../../../../systems/cells/json-change.ts'
import { int64s, messagesOf } from '../../change-order.ts'
import { eventCan, eventOf } from '../../change-events.ts'
import type { CapturedTable, CaptureProblem, Captures } from '../../contract-capture.ts'
import type { Connection } from '../connection.ts'
import { readProblems, schemaProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { tableCaptures, type TechniqueParts } from './captures.ts'
import type { FeedKind } from './feed.ts'
import { sourceName } from '../source-name.ts'
import { outboxTable, schemaName, streamTable } from './names.ts'
import { baseScript, outboxScript, regclass } from './script.ts'
import { hasOutbox, outboxNumber, readStream } from './state.ts'
import { orderColumns, readColumn, type ChangeRows, type Group } from './window.ts'

/** Changes that the application writes into an outbox, in the transactions of its own writes. */
export function eventCaptures(env: Env, target: Target): Captures {
  return tableCaptures(env, target, eventParts(target))
}

const text = (name: string): ColumnDef => ({ name, type: { kind: 'text' }, nullable: true, personal: false })
const eventColumns = ['table_name', 'op', 'key', 'row'].map(name => ({
  ...text(name),
  as: readColumn(name, name === 'key' || name === 'row'),
}))
const outboxRows: ChangeRows = { table: outboxTable, xid: 'naru_xid', seq: 'id', columns: eventColumns, key: [] }

function eventParts(target: Target): TechniqueParts {
  return {
    technique: 'event',
    can: { ...eventCan, transactions: true },
    inspect: (connection, tables, signal) => inspect(connection, target, tables, signal),
    install: async (connection, _, identity, signal) => {
      const isThere = await hasOutbox(connection, signal)
      for (const statement of [...baseScript('event', sql`${identity}`), ...outboxScript()])
        await connection.query(statement, signal)
      // An outbox that was dropped took its events along.
      if (!isThere)
        await connection.query(
          sql`update ${streamTable} set identity = ${identity}, pruned = null where technique = ${'event'}`,
          signal,
        )
    },
    script: () => ({
      install: [...baseScript('event', sql`gen_random_uuid()::text`), ...outboxScript()],
      remove: [sql`drop table if exists ${outboxTable}`, sql`delete from ${streamTable} where technique = ${'event'}`],
    }),
    remove: async (connection, signal) => {
      if ((await readStream(connection, 'event', signal)) === null) return
      await connection.query(sql`begin`, signal)
      await connection.query(sql`drop table if exists ${outboxTable}`, signal)
      await connection.query(sql`delete from ${streamTable} where technique = ${'event'}`, signal)
      const [left] = await connection.query(sql`select count(*) from ${streamTable}`, signal)
      if (left?.[0] === '0') await connection.query(sql`drop schema ${schemaName} cascade`, signal)
      await connection.query(sql`commit`, signal)
    },
    grown: async () => [outboxTable],
    open: async (connection, request, signal) => {
      const events = new EventChanges(request.tables, target.rowBytesMax)
      const number = await outboxNumber(connection, signal)
      const check = async (on: Connection, during: AbortSignal): Promise<null> => {
        const now = await outboxNumber(on, during)
        if (now !== null && now === number) return null
        const problems = now === null ? 'the outbox is gone' : 'the outbox was made anew'
        throw fail('CAPTURE_NOT_READY', { source: target.source, technique: 'event', problems })
      }
      await check(connection, signal)
      const kind: FeedKind = { technique: 'event', check, assemble: group => sliceOf(group, events) }
      return { kind, sources: [outboxRows] }
    },
  }
}

async function inspect(
  connection: Connection,
  target: Target,
  tables: readonly CapturedTable[],
  signal: AbortSignal,
): Promise<readonly CaptureProblem[]> {
  const keyless = tables.filter(it => it.key.length === 0)
  const problems: CaptureProblem[] = keyless.map(it => ({
    table: it.name,
    text: 'it has no key, which every event names',
    fix: 'Name a key in the config.',
    isFatal: true,
  }))
  problems.push(...(await schemaProblems(connection, target, signal)))
  const unseen = await readProblems(connection, target, tables, signal)
  problems.push(...unseen)
  for (const { name, remote } of tables.filter(it => !unseen.some(({ table }) => table === it.name))) {
    const at = sourceName(remote)
    const [found] = await connection.query(sql`select ${regclass(at.schema, at.relation)}`, signal)
    if (found?.[0] != null) continue
    problems.push({
      table: name,
      text: `there is no table "${remote}"`,
      fix: 'Correct its name in the schema module.',
      isFatal: true,
    })
  }
  return problems
}

/** The events of a group, in the order of their transactions. */
function sliceOf(group: Group, events: EventChanges): ChangeSlice {
  const ends = new Map<bigint, number>()
  const lead = orderColumns.length
  const tooLarge: ChangeMessage[] = []
  for (const { batch, rejects } of group.rows.get(0)?.batches ?? []) {
    const last = int64s(batch.columns[0] as ColumnData, batch.rows)
    const ids = int64s(batch.columns[1] as ColumnData, batch.rows)
    for (let row = 0; row < batch.rows; row++) {
      events.add(eventOf(batch.columns.slice(lead), row, `event ${ids[row]}`))
      ends.set(last[row] as bigint, events.count)
    }
    tooLarge.push(...messagesOf('outbox', rejects))
  }
  const { tables, messages } = events.take()
  let end = 0
  const places = group.transactions.map(({ last }) => (end = Math.max(end, ends.get(last) ?? end)))
  return {
    position: group.position,
    committedMicros: group.clockMicros,
    transactions: {
      ids: BigInt64Array.from(group.transactions, ({ xid }) => xid),
      ends: Uint32Array.from(places),
      committedMicros: BigInt64Array.from(group.transactions, () => group.clockMicros),
    },
    tables,
    messages: [...tooLarge, ...messages],
  }
}
