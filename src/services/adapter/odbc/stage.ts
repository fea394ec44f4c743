import { isValid, type ColumnBatch, type ColumnData } from '../../../core/batch.ts'
import { cellText } from '../../../core/cell-text.ts'
import { fail, messageOf, type NaruError } from '../../../core/errors.ts'
import { ident, sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { Connection } from './connection.ts'
import { OdbcFailure } from './errors.ts'
import type { Session } from './session.ts'
import type { Found, FoundColumn, StageNames } from './write-target.ts'
import { withoutSecrets } from './target.ts'

/** Characters of one INSERT: more of them are not faster, and driver and system hold each whole. */
const STATEMENT_CHARACTERS = 256 * 1024
/** What a statement may be longer than its rows. */
const ROOM_BYTES = 1024

/** Where rows go. */
export interface StageInto {
  readonly session: Session
  readonly names: StageNames
  readonly found: Found
  readonly table: string
  readonly wanted: readonly ColumnDef[]
  readonly statementBytes: number
}

/** Rows that are sent together, each as the literals of its columns. */
interface Pending {
  readonly rows: string[][]
  characters: number
}

/** Puts the rows of batches into the stage, within the caller's transaction. Gives how many. Throws `WRITE_VALUE`. */
export async function insertRows(
  into: StageInto,
  unit: { readonly name: string; readonly number: number },
  batches: AsyncIterable<ColumnBatch>,
  signal: AbortSignal,
): Promise<number> {
  const pending: Pending = { rows: [], characters: 0 }
  let rows = 0
  for await (const batch of batches) {
    for (let row = 0; row < batch.rows; row++) {
      const spelled = spelledRow(into, batch, row, `row ${rows + 1} of "${unit.name}"`)
      const characters = spelled.reduce((sum, text) => sum + text.length + 1, 0)
      refuseLong(into, spelled, characters, `row ${rows + 1} of "${unit.name}"`)
      if (pending.characters + characters > limitOf(into)) await flush(into, unit, pending, rows, signal)
      pending.rows.push(spelled)
      pending.characters += characters
      rows++
    }
  }
  await flush(into, unit, pending, rows, signal)
  return rows
}

function limitOf({ statementBytes }: StageInto): number {
  return Math.min(STATEMENT_CHARACTERS, statementBytes / 4)
}

/** Literals hold no letter of more than one byte, so characters are bytes. */
function refuseLong(into: StageInto, spelled: readonly string[], characters: number, row: string): void {
  if (characters + ROOM_BYTES <= into.statementBytes) return
  const lengths = spelled.map(text => text.length)
  const problem = `the row has ${characters} bytes in a statement, which may have ${into.statementBytes}`
  throw badValue(into, lengths.indexOf(Math.max(...lengths)), row, problem)
}

function spelledRow(into: StageInto, batch: ColumnBatch, row: number, place: string): string[] {
  return into.wanted.map(({ type }, i) => {
    const { spell, takesNull } = into.found.columns[i] as FoundColumn
    const data = batch.columns[i] as ColumnData
    if (!isValid(data.validity, row)) {
      if (takesNull) return 'null'
      throw badValue(into, i, place, 'it is NULL, and the column, or a key, takes none')
    }
    const spelled = spell(cellText(type, data, row) as string)
    if (typeof spelled === 'string') return spelled
    throw badValue(into, i, place, spelled.problem)
  })
}

async function flush(
  into: StageInto,
  unit: { readonly name: string; readonly number: number },
  pending: Pending,
  rowsAfter: number,
  signal: AbortSignal,
): Promise<void> {
  if (pending.rows.length === 0) return
  const first = rowsAfter - pending.rows.length
  const { connection, render } = into.session
  const values = pending.rows.map((row, i) => `(${[unit.number, first + i + 1, ...row].join(',')})`)
  try {
    await connection.execute(`${render(sql`insert into ${into.names.rows} values `).text}${values.join(',')}`, signal)
  } catch (error) {
    throw (await blame(into, error, { unit: unit.name, rows: pending.rows, first }, signal)) ?? error
  }
  pending.rows.length = 0
  pending.characters = 0
}

/** Faults of a value: data that is out of range or too long, NULL where none may be, a check that says no. Some drivers have one state for all. */
const VALUE_STATES = /^(22|23|HY000$|42000$|01)/

/**
 * Finds the value that a statement was refused for: no two systems tell it alike. The transaction is lost already; each
 * trial is one that is undone. `null` when no value alone is refused.
 */
async function blame(
  into: StageInto,
  error: unknown,
  { unit, rows, first }: { readonly unit: string; readonly rows: readonly string[][]; readonly first: number },
  signal: AbortSignal,
): Promise<NaruError | null> {
  if (!(error instanceof OdbcFailure) || !VALUE_STATES.test(error.failure.state)) return null
  const { connection, render } = into.session
  const head = render(sql`insert into ${into.names.rows} (${ident('_unit')}, ${ident('_row')}`).text
  const isTaken = (columns: readonly number[], from: number, to: number): Promise<boolean> => {
    const names = columns.map(c => render(sql`, ${ident(`c${c}`)}`).text)
    const values = rows.slice(from, to).map(row => `(${['-1', '0', ...columns.map(c => row[c])].join(',')})`)
    return isAccepted(connection, `${head}${names.join('')}) values ${values.join(',')}`, signal)
  }
  await connection.end('rollback', signal)
  // A full disk or a lock refuses any row: no value is to blame then.
  if (!(await isTaken([], 0, 1))) return null
  const all = into.wanted.map((_, c) => c)
  let [from, to] = [0, rows.length]
  while (to - from > 1) {
    const middle = (from + to) >> 1
    if (await isTaken(all, from, middle)) from = middle
    else to = middle
  }
  for (const column of all) {
    if (await isTaken([column], from, to)) continue
    return badValue(into, column, `row ${first + from + 1} of "${unit}"`, withoutSecrets(into.session.target, messageOf(error))) // prettier-ignore
  }
  return null
}

async function isAccepted(connection: Connection, statement: string, signal: AbortSignal): Promise<boolean> {
  try {
    await connection.execute(statement, signal)
    return true
  } catch (error) {
    if (error instanceof OdbcFailure && VALUE_STATES.test(error.failure.state)) return false
    throw error
  } finally {
    await connection.end('rollback', signal)
  }
}

function badValue(into: StageInto, column: number, row: string, problem: string): NaruError {
  const name = into.wanted[column]?.name ?? ''
  return fail('WRITE_VALUE', { system: into.session.target.source, table: into.table, column: name, row, problem })
}
