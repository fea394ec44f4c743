import assert from 'node:assert/strict'
import { isValid, type ColumnData } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import { rejectOf } from '../../core/change-reject.ts'
import { changeOp, type ChangeSlice } from '../../core/change-slice.ts'
import { realEnv, withDeadline } from '../../core/env.ts'
import { messageOf } from '../../core/errors.ts'
import type { RowReject } from '../../core/reject.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { int64, never, shapeOf, text } from './conformance-support.ts'
import type {
  CapturedTable,
  Captures,
  CaptureRequest,
  CaptureTechnique,
  ChangeStream,
  SchemaChange,
} from './contract-capture.ts'
import type { Adapter } from './contract.ts'

/** A source whose changes are captured: how a test writes to it, and how it gets in the way. */
export interface CaptureSystem {
  readonly technique: CaptureTechnique
  /** The adapter under test, newly opened on a database that other tests leave alone. */
  open(): Promise<Adapter>
  /** Runs one statement as a writer does, and commits it. */
  execute(statement: string): Promise<void>
  /** Another session of a writer: `begin`, statements, and `commit` or `rollback`. */
  session(): Promise<WriterSession>
  /** What the type is called in CREATE TABLE. */
  typeName(type: ColumnType): string
  /** A value of the type in SQL. */
  literal(type: ColumnType, text: string): string
  /** Cuts every connection that the adapter has, as a network or an operator does. Absent where there is none to cut. */
  readonly cut?: () => Promise<void>
  /** Makes the log of the source anew where `remove` and `install` do not, because nothing is made for us there. */
  readonly makeAnew?: () => Promise<void>
  /** An empty folder for what a stream spills. */
  spillDir(): Promise<string>
  /** Only one writer at a time: promises about several are left out. */
  readonly oneWriter?: boolean
  /** The statement that empties a table at once: `truncate table items` unless given. */
  readonly truncate?: (remote: string) => string
  /** Makes the table anew with what the technique needs in it; `create table` unless given. */
  readonly createTable?: (table: CapturedTable) => Promise<void>
  /** The table as the stream is asked for it, where the technique needs more than its shape. */
  readonly captured?: (table: CapturedTable) => CapturedTable
  /** The statements of a writer who knows of the capture (outbox, flag); plain SQL unless given. */
  readonly cooperate?: (write: Write) => readonly string[]
}

/** One promise of the contract's `Captures` and `ChangeStream`. */
export interface CapturePromise {
  readonly name: string
  /** Of the claims of the captures, and of what the bench can do. */
  readonly when?: (can: Captures['can'], system: CaptureSystem) => boolean
  readonly check: (system: CaptureSystem) => Promise<void>
}

/** A session of a writer. */
export interface WriterSession {
  execute(statement: string): Promise<void>
  close(): Promise<void>
}

/** One change as a test asks for it. Values are in the order of the columns of the table. */
export type Write =
  | { readonly op: 'insert'; readonly table: CapturedTable; readonly row: Row; readonly sql: string }
  | {
      readonly op: 'update'
      readonly table: CapturedTable
      readonly id: string
      readonly row: Row
      readonly sql: string
    }
  | { readonly op: 'delete'; readonly table: CapturedTable; readonly id: string; readonly sql: string }

/** Text of each value, as `cellText` has it. */
export type Row = readonly (string | null)[]

/** One change as it came. `undefined` is a value that the source did not send because it did not change. */
export interface Event {
  readonly table: string
  readonly op: 'insert' | 'update' | 'delete' | 'truncate' | 'move'
  readonly row: readonly (string | null | undefined)[]
  readonly order: number
  /** Its number in the source; null where the slice has none for it. */
  readonly transaction: bigint | null
}

/** What came until a position. */
export interface Followed {
  readonly slices: readonly ChangeSlice[]
  readonly schemas: readonly SchemaChange[]
  readonly events: readonly Event[]
  readonly rejects: readonly { readonly table: string; readonly reject: RowReject }[]
  /** The last one that came; null when none did. */
  readonly position: string | null
}

/** The table that most promises write. */
export const items: CapturedTable = {
  name: 'item',
  ...shapeOf(
    'capture_items',
    [
      ['id', int64],
      ['name', text],
      ['version', int64],
    ],
    ['id'],
  ),
}

/** A second one, for what is true of several tables. */
export const others: CapturedTable = {
  name: 'other',
  ...shapeOf(
    'capture_others',
    [
      ['id', int64],
      ['note', text],
    ],
    ['id'],
  ),
}

/** The tables of a promise with an installed capture, and ways to them. */
export interface Bench {
  readonly system: CaptureSystem
  readonly adapter: Adapter
  readonly captures: Captures
  readonly tables: readonly CapturedTable[]
  /** What `install` gave. */
  readonly from: string
  /** Opens a stream; all of them are closed in the end. */
  stream(from?: string, more?: Partial<CaptureRequest>): Promise<ChangeStream>
  /** As a writer who knows of the capture; in a session when one is given. */
  insert(table: CapturedTable, row: Row, session?: WriterSession): Promise<void>
  update(table: CapturedTable, id: string, row: Row, session?: WriterSession): Promise<void>
  remove(table: CapturedTable, id: string, session?: WriterSession): Promise<void>
  /** Runs one statement, in a session when one is given. */
  run(statement: string, session?: WriterSession): Promise<void>
  /** Reads and confirms until everything that is committed now has come. */
  catchUp(stream: ChangeStream): Promise<Followed>
  session(): Promise<WriterSession>
}

/** Longest wait for something that must come. */
const WAIT_MS = 60_000

/** Makes the tables anew, installs the capture, and removes it after the body. */
export async function withCapture(
  system: CaptureSystem,
  body: (bench: Bench) => Promise<void>,
  asked: readonly CapturedTable[] = [items, others],
): Promise<void> {
  const tables = asked.map(it => system.captured?.(it) ?? it)
  const adapter = await system.open()
  const captures = capturesOf(adapter, system)
  const open: { close(): Promise<void> }[] = []
  const kept = <T extends { close(): Promise<void> }>(it: T): T => (open.push(it), it)
  try {
    await captures.remove(never)
    for (const table of tables) await makeTable(system, table)
    const from = await captures.install(tables, never)
    const stream: Bench['stream'] = async (at = from, more = {}) => {
      const spillDir = await system.spillDir()
      return kept(await captures.open({ tables, from: at, spillDir, ...more }, never))
    }
    await body({
      system,
      adapter,
      captures,
      tables,
      from,
      stream,
      ...writes(system),
      session: async () => kept(await system.session()),
      catchUp: async it => follow(captures, it, await captures.head(never)),
    })
  } finally {
    for (const it of open.toReversed()) await it.close()
    await captures.remove(never)
    await adapter.close()
  }
}

/** The captures of the technique under test. */
export function capturesOf(adapter: Adapter, { technique }: CaptureSystem): Captures {
  const captures = adapter.captures?.[technique]
  assert.ok(captures !== undefined, `the adapter has no captures of the technique ${technique}`)
  return captures
}

export async function makeTable(system: CaptureSystem, table: CapturedTable): Promise<void> {
  if (system.createTable !== undefined) return system.createTable(table)
  const { remote, columns, key } = table
  const list = columns.map(it => `${it.name} ${system.typeName(it.type)}${key.includes(it.name) ? ' not null' : ''}`)
  const primary = key.length === 0 ? [] : [`primary key (${key.join(', ')})`]
  await system.execute(`drop table if exists ${remote}`)
  await system.execute(`create table ${remote} (${[...list, ...primary].join(', ')})`)
}

type Writes = Pick<Bench, 'insert' | 'update' | 'remove' | 'run'>

export function writes(system: CaptureSystem): Writes {
  const run: Writes['run'] = (statement, session) => (session ?? system).execute(statement)
  const value = (table: CapturedTable, row: Row, i: number): string => {
    const cell = row[i]
    return cell == null ? 'null' : system.literal((table.columns[i] as ColumnDef).type, cell)
  }
  const isKey = (table: CapturedTable, id: string): string =>
    `${table.key[0]} = ${system.literal((table.columns[0] as ColumnDef).type, id)}`
  const write = async (it: Write, session: WriterSession | undefined): Promise<void> => {
    for (const statement of system.cooperate?.(it) ?? [it.sql]) await run(statement, session)
  }
  return {
    run,
    insert: (table, row, session) => {
      const names = table.columns.map(it => it.name).join(', ')
      const values = table.columns.map((_, i) => value(table, row, i)).join(', ')
      const sql = `insert into ${table.remote} (${names}) values (${values})`
      return write({ op: 'insert', table, row, sql }, session)
    },
    update: (table, id, row, session) => {
      const set = table.columns.map((it, i) => `${it.name} = ${value(table, row, i)}`).join(', ')
      const sql = `update ${table.remote} set ${set} where ${isKey(table, id)}`
      return write({ op: 'update', table, id, row, sql }, session)
    },
    remove: (table, id, session) =>
      write({ op: 'delete', table, id, sql: `delete from ${table.remote} where ${isKey(table, id)}` }, session),
  }
}

/** Reads, copies and, unless told not to, confirms what comes until a position; fails when it does not come. */
export async function follow(
  captures: Captures,
  stream: ChangeStream,
  until: string,
  { confirms = true }: { readonly confirms?: boolean } = {},
): Promise<Followed> {
  const [slices, schemas]: [ChangeSlice[], SchemaChange[]] = [[], []]
  const read = async (): Promise<void> => {
    for (;;) {
      const came = structuredClone(await stream.next())
      if ('kind' in came) {
        schemas.push(came)
        continue
      }
      slices.push(came)
      if (came.position === null) continue
      if (confirms) await stream.confirm(came.position)
      if (captures.compare(came.position, until) >= 0) return
    }
  }
  await inTime(`the position ${until}`, read)
  const rejects = slices.flatMap(({ messages }) => messages.map(rejectOf).filter(it => it !== null))
  const position = slices.findLast(it => it.position !== null)?.position ?? null
  return { slices, schemas, events: slices.flatMap(eventsOf), rejects, position }
}

/** Runs a task with the limit of the suite. */
export function inTime<T>(what: string, task: () => Promise<T>): Promise<T> {
  return withDeadline(realEnv(), { what, ms: WAIT_MS }, task)
}

const opNames = new Map(Object.entries(changeOp).map(([name, op]) => [op as number, name as Event['op']]))

/** The changes of a slice in their order. Fails where the slice breaks its own rules. */
export function eventsOf({ tables, transactions }: ChangeSlice): readonly Event[] {
  const events = tables.flatMap(table => {
    const { rows, ops, order, unchanged, columns } = table
    assert.equal(ops.length, rows.rows, 'an operation for each row')
    assert.equal(order.length, rows.rows, 'a place for each row')
    assert.equal(rows.columns.length, columns.length)
    assert.equal(unchanged.length, columns.length)
    return Array.from({ length: rows.rows }, (_, row): Event => {
      const place = order[row] as number
      assert.ok(row === 0 || (order[row - 1] as number) < place, 'the places of a table grow')
      const cells = columns.map(({ type }, c) => {
        const bits = unchanged[c] ?? null
        if (bits !== null && isValid(bits, row)) return undefined
        return cellText(type, rows.columns[c] as ColumnData, row)
      })
      const op = opNames.get(ops[row] as number)
      assert.ok(op !== undefined, `an operation ${ops[row]}`)
      const transaction = transactions.ids[transactions.ends.findIndex(end => place < end)] ?? null
      return { table: table.table, op, row: cells, order: place, transaction }
    })
  })
  assert.equal(new Set(events.map(it => it.order)).size, events.length, 'no two changes have one place')
  return events.toSorted((a, b) => a.order - b.order)
}

/** The rows of a table after its changes were applied naively, by the text of the first column. */
export function imageOf(events: readonly Event[], table: string): Map<string, Row> {
  const image = new Map<string, Row>()
  let moved: Row | undefined
  for (const { op, row, table: of } of events) {
    if (of !== table) continue
    const id = row[0] as string
    if (op === 'truncate') image.clear()
    else if (op === 'delete') {
      moved = image.get(id)
      image.delete(id)
    } else {
      const before = op === 'move' ? moved : image.get(id)
      image.set(
        id,
        row.map((cell, i) => (cell === undefined ? (before?.[i] ?? null) : cell)),
      )
    }
  }
  return image
}

/** What a promise is rejected with; fails when it is not. */
export async function refusal(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail('it was not refused')
}

/** For messages of a failed check. */
export function said(error: unknown): string {
  return messageOf(error)
}
