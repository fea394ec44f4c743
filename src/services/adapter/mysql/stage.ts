import type { ColumnBatch } from '../../../core/batch.ts'
import { fail, isNaruError, messageOf, systemCodeOf, type NaruError } from '../../../core/errors.ts'
import { renderSql, sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { mysqlDialect } from '../../../systems/mysql/dialect.ts'
import { SqlText } from '../../../systems/mysql/sql-text.ts'
import { valueEncoder } from '../../../systems/mysql/value-encoder.ts'
import type { CatalogColumn } from './catalog.ts'
import type { Connection } from './connection.ts'
import type { StageNames } from './write-target.ts'

/** Bytes of one INSERT: more of them are not faster, and the server holds each whole. */
const STATEMENT_BYTES = 1024 * 1024
/** What a statement may be longer than its last row. */
const ROOM_BYTES = 1024

/** Where rows go. */
export interface StageInto {
  readonly connection: Connection
  readonly names: StageNames
  readonly system: string
  readonly table: string
  readonly wanted: readonly ColumnDef[]
  readonly columns: readonly CatalogColumn[]
}

/** Puts rows of batches into the stage as INSERTs of many rows. Gives how many. Throws `WRITE_VALUE`. */
export async function insertRows(
  into: StageInto,
  unit: { readonly name: string; readonly number: number },
  batches: AsyncIterable<ColumnBatch>,
  signal: AbortSignal,
): Promise<bigint> {
  const text = new SqlText()
  text.text(renderSql(sql`insert into ${into.names.rows} values `, mysqlDialect).text)
  const head = text.length
  let rows = 0n
  let inText = 0
  const flush = async (): Promise<void> => {
    if (inText === 0) return
    await insert(into, text.bytes, unit.name, rows - BigInt(inText), signal)
    text.cut(head)
    inText = 0
  }
  for await (const batch of batches) {
    const puts = batch.columns.map((data, c) => {
      const { type } = into.wanted[c] as ColumnDef
      return valueEncoder(type, data, into.columns[c] as CatalogColumn)
    })
    for (let row = 0; row < batch.rows; row++) {
      const before = text.length
      text.ascii(inText === 0 ? `(null,${unit.number}` : `,(null,${unit.number}`)
      for (let c = 0; c < puts.length; c++) {
        text.ascii(',')
        const problem = (puts[c] as (typeof puts)[number])(text, row)
        if (problem !== null) throw badValue(into, c, `row ${rows + 1n} of "${unit.name}"`, problem)
      }
      text.ascii(')')
      rows++
      if (text.length - before + head > into.connection.packetBytesMax - ROOM_BYTES) {
        const problem = `the row has ${text.length - before} bytes; max_allowed_packet is ${into.connection.packetBytesMax}`
        throw badValue(into, largest(batch, row), `row ${rows} of "${unit.name}"`, problem)
      }
      inText++
      const limit = Math.min(STATEMENT_BYTES, into.connection.packetBytesMax / 4)
      if (text.length >= limit) await flush()
    }
  }
  await flush()
  return rows
}

/** One row may be longer than what a statement should be; two long ones never stand in one. */
function largest({ columns }: ColumnBatch, row: number): number {
  const lengths = columns.map(column =>
    column.layout === 'bytes' ? (column.offsets[row + 1] as number) - (column.offsets[row] as number) : 0,
  )
  return lengths.indexOf(Math.max(...lengths))
}

async function insert(
  into: StageInto,
  statement: Buffer,
  unit: string,
  rowsBefore: bigint,
  signal: AbortSignal,
): Promise<void> {
  try {
    const { warnings } = await into.connection.run(statement, signal)
    if (warnings === 0) return
    // A rounded or a cut value is a note here, even in strict mode.
    const [warning] = await into.connection.query(sql`show warnings limit 1`, signal)
    throw Object.assign(new Error(warning?.[2] ?? 'a value was changed'), { code: VALUE_CODES_ANY })
  } catch (error) {
    throw refusedValue(into, error, unit, rowsBefore) ?? error
  }
}

const VALUE_CODES_ANY = '1265'
/** Out of range, cut, wrong, too long, not a letter of the charset, NULL where none may be, a check that says no. */
const VALUE_CODES: ReadonlySet<string> = new Set([
  '1048',
  '1264',
  '1265',
  '1292',
  '1300',
  '1366',
  '1367',
  '1406',
  '1411',
  '1416',
  '1451',
  '3140',
  '3819',
  '4025',
])

function refusedValue(into: StageInto, error: unknown, unit: string, rowsBefore: bigint): NaruError | null {
  if (isNaruError(error) || !VALUE_CODES.has(systemCodeOf(error) ?? '')) return null
  const message = messageOf(error)
  const [, name] = /column [`']?(?:`?[^`']+`?\.)*`?c(\d+)[`']?/i.exec(message) ?? []
  const [, line] = /at row (\d+)/.exec(message) ?? []
  const row = line === undefined ? 'a row' : `row ${rowsBefore + BigInt(line)}`
  return badValue(into, Number(name ?? 0), `${row} of "${unit}"`, message)
}

function badValue(into: StageInto, column: number, row: string, problem: string): NaruError {
  const name = into.wanted[column]?.name ?? ''
  // The server names the columns of the stage.
  const told = problem.replaceAll(/`c(\d+)`|'c(\d+)'/g, (_, a, b) => `"${into.wanted[Number(a ?? b)]?.name}"`)
  return fail('WRITE_VALUE', { system: into.system, table: into.table, column: name, row, problem: told })
}
