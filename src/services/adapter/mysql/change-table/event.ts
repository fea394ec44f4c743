import type { ChangeMessage, ChangeSlice } from '../../../../core/change-slice.ts'
import type { ColumnData } from '../../../../core/batch.ts'
import type { Env } from '../../../../core/env.ts'
import { fail } from '../../../../core/errors.ts'
import { ident, sql } from '../../../../core/sql.ts'
import { EventChanges } from '../../../../systems/cells/json-change.ts'
import { eventCan, eventOf } from '../../change-events.ts'
import { int64s, messagesOf, noTransactions } from '../../change-order.ts'
import type { Captures } from '../../contract-capture.ts'
import { findTable, type CatalogColumn } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import { privilegeProblems } from '../privileges.ts'
import type { Target } from '../target.ts'
import { tableCaptures, type TechniqueParts } from './captures.ts'
import { splitNumbers, type ReadRows } from './feed.ts'
import { hasTable, readStream } from './heads.ts'
import { OUTBOX } from './names.ts'
import { baseScript, outboxScript, streamIdent } from './script.ts'
import { dropStream } from './trigger.ts'

/** Changes that the application writes into an outbox, in the transactions of its own writes. */
export function eventCaptures(env: Env, target: Target): Captures {
  return tableCaptures(env, target, eventParts(target))
}

const parts = ['table_name', 'op', 'key', 'row']

function eventParts(target: Target): TechniqueParts {
  const { database, source, rowBytesMax } = target
  const outbox = ident(database, OUTBOX)
  return {
    technique: 'event',
    can: eventCan,
    inspect: async (connection, tables, signal) => {
      const problems = [...(await privilegeProblems(connection, target, { technique: 'event', tables }, signal))]
      for (const { name, remote, key } of tables) {
        if (key.length === 0)
          problems.push({
            table: name,
            text: 'it has no key, which every event names',
            fix: 'Name a key in the config.',
            isFatal: true,
          })
        if ((await findTable(connection, remote, database, signal)) === null)
          problems.push({
            table: name,
            text: `there is no table "${remote}"`,
            fix: 'Correct its name in the schema module.',
            isFatal: true,
          })
      }
      return problems
    },
    install: async (connection, _, identity, signal) => {
      const isThere = await hasTable(connection, database, OUTBOX, signal)
      for (const statement of [...baseScript('event', database, sql`${identity}`), ...outboxScript(database)])
        await connection.run(statement, signal)
      // An outbox that was dropped took its events along.
      if (!isThere)
        await connection.run(
          sql`update ${streamIdent(database)} set identity = ${identity}, confirmed = null where technique = ${'event'}`,
          signal,
        )
    },
    script: () => ({
      install: [...baseScript('event', database, sql`uuid()`), ...outboxScript(database)],
      remove: [
        sql`drop table if exists ${outbox}`,
        sql`delete from ${streamIdent(database)} where technique = ${'event'}`,
      ],
    }),
    remove: async (connection, signal) => {
      if ((await readStream(connection, database, 'event', signal)) === null) return
      await connection.run(sql`drop table if exists ${outbox}`, signal)
      await dropStream(connection, database, 'event', signal)
    },
    numbered: async (connection, signal) =>
      (await hasTable(connection, database, OUTBOX, signal)) ? [{ name: OUTBOX, table: outbox, id: 'id' }] : [],
    open: async (connection, request, signal) => {
      const events = new EventChanges(request.tables, rowBytesMax)
      const made = (on: Connection, during: AbortSignal): Promise<string | null> => madeAt(on, database, during)
      const before = await made(connection, signal)
      const check = async (on: Connection, during: AbortSignal): Promise<null> => {
        const now = await made(on, during)
        if (now !== null && now === before) return null
        const problems = now === null ? 'the outbox is gone' : 'the outbox was made anew'
        throw fail('CAPTURE_NOT_READY', { source, technique: 'event', problems })
      }
      await check(connection, signal)
      const found = await findTable(connection, OUTBOX, database, signal)
      const columns = parts.map(name => found?.columns.find(column => column.name === name) as CatalogColumn)
      const sources = [{ name: OUTBOX, table: outbox, id: 'id', columns, key: [] }]
      return { technique: 'event', sources, check, assemble: rows => assemble(rows, events) }
    },
  }
}

async function madeAt(connection: Connection, database: string, signal: AbortSignal): Promise<string | null> {
  const [row] = await connection.query(
    sql`select create_time from information_schema.tables where table_schema = ${database} and table_name = ${OUTBOX}`,
    signal,
  )
  return row?.[0] ?? null
}

function assemble(
  read: readonly ReadRows[],
  events: EventChanges,
): Pick<ChangeSlice, 'tables' | 'messages' | 'transactions'> {
  const tooLarge: ChangeMessage[] = []
  for (const { batch, rejects } of read.flatMap(it => it.batches)) {
    const { numbers, rows } = splitNumbers(batch)
    const ids = int64s(numbers as ColumnData, rows.rows)
    for (let row = 0; row < rows.rows; row++) events.add(eventOf(rows.columns, row, `event ${ids[row]}`))
    tooLarge.push(...messagesOf('outbox', rejects))
  }
  const { tables, messages } = events.take()
  return { tables, messages: [...tooLarge, ...messages], transactions: noTransactions }
}
