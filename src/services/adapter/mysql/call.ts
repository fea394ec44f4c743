import { fail, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { ident, joinSql, sql } from '../../../core/sql.ts'
import { typeText } from '../../../core/types.ts'
import { readAs } from '../../../systems/mysql/types.ts'
import { takes } from '../../../systems/mysql/value-encoder.ts'
import type { WriteTarget, Written } from '../contract-writes.ts'
import { nothingWritten } from '../written.ts'
import { placesOf, type CatalogColumn } from './catalog.ts'
import type { Connection, TextRow } from './connection.ts'
import type { Staged } from './publish.ts'
import { withoutSecrets, type Target } from './target.ts'
import type { Found } from './write-target.ts'

/**
 * Finds the procedure that is called, its parameters as the columns of a table. Throws `WRITE_TARGET` with what it takes
 * when it is not there or does not take the columns.
 */
export async function findProcedure(
  connection: Connection,
  target: Target,
  wanted: WriteTarget,
  signal: AbortSignal,
): Promise<Found> {
  const refuse = (problem: string): Error =>
    fail('WRITE_TARGET', { system: target.source, table: wanted.remote, problem })
  for (const [schema, name] of placesOf(wanted.remote, target.database)) {
    const [there] = await connection.query(
      sql`select routine_schema, routine_name from information_schema.routines
        where routine_schema = ${schema} and routine_name = ${name} and routine_type = 'PROCEDURE'`,
      signal,
    )
    if (there === undefined) continue
    const rows = await connection.query(
      sql`select parameter_name, parameter_mode, data_type, dtd_identifier, numeric_precision, numeric_scale,
          character_set_name, collation_name, datetime_precision
        from information_schema.parameters
        where specific_schema = ${schema} and specific_name = ${name} and routine_type = 'PROCEDURE'
        order by ordinal_position`,
      signal,
    )
    const parameters = rows.map(parameterOf)
    const problem = whyNot(wanted, rows, parameters)
    if (problem !== null) throw refuse(`it does not take the columns: ${problem}; it takes (${listOf(rows)})`)
    const columns = parameters.map((it, i) => ({ ...it, name: wanted.columns[i]?.name ?? '' }))
    const place = { schema: there[0] as string, relation: there[1] as string }
    return {
      table: { ...place, name: wanted.remote, engine: null, isVersioned: false, rowsEstimate: null, columns, key: [] },
      columns,
    }
  }
  throw refuse('there is no procedure of this name that the account may call')
}

function whyNot(
  { columns }: WriteTarget,
  rows: readonly TextRow[],
  parameters: readonly CatalogColumn[],
): string | null {
  if (rows.some(([, mode]) => mode !== 'IN')) return 'it gives values back through its parameters'
  if (rows.length !== columns.length) return `they are ${columns.length}`
  const odd = columns.findIndex(({ type }, i) => !takes(parameters[i] as CatalogColumn, type))
  const column = columns[odd]
  if (column === undefined) return null
  return `its parameter ${odd + 1} does not take "${column.name}", which is ${typeText(column.type).slice(0, 60)}`
}

function listOf(rows: readonly TextRow[]): string {
  return rows.map(([name, mode, , full]) => `${mode === 'IN' ? '' : `${mode} `}${name} ${full}`).join(', ')
}

/** A charset may stand behind the type; the stage writes its own there. */
const CHARSET = /(?:\s+(?:charset|character set|collate)\s+\w+)+$/i

function parameterOf(row: TextRow): CatalogColumn {
  const [name, , dataType, full, precision, scale, charset, collation, timeDigits] = row
  const nativeType = (full as string).replace(CHARSET, '')
  const native = readAs({
    name: dataType as string,
    full: nativeType,
    precision: precision == null ? null : Number(precision),
    scale: scale == null ? null : Number(scale),
    charset: charset ?? null,
    isJson: false,
  })
  return {
    name: name as string,
    ...native,
    nativeName: dataType as string,
    nativeType,
    nullable: true,
    personal: false,
    charset: charset ?? null,
    collation: collation ?? null,
    readable: true,
    generated: false,
    timeDigits: Number(timeDigits ?? 0),
  }
}

/** Numbers of staged rows that are read at once. */
const PAGE_ROWS = 1_000
/** The server's state rather than the row, or a right: the connection tells what these are. */
const NOT_THE_ROW: ReadonlySet<string> = new Set([
  '1053',
  '1142',
  '1143',
  '1205',
  '1213',
  '1317',
  '1370',
  '1927',
  '1969',
])
/** What ends a transaction is refused within one that only a coordinator may end. */
const ENDS_TRANSACTION = '1399'

/**
 * Calls the procedure for each staged row, in the order they came: a statement each, its values read within the server.
 * Runs in an XA transaction, because in any other a procedure that commits would end it halfway. Throws `WRITE_CALL`.
 */
export async function callEach(
  { connection, table, wanted, names }: Staged,
  { target, unitOf }: { readonly target: Target; readonly unitOf: (number: number) => string },
  signal: AbortSignal,
): Promise<Written> {
  const procedure = ident(table.schema, table.relation)
  let [called, unit, nth, last] = [0n, 0, 0n, 0n]
  for (;;) {
    const page = await connection.query(
      sql`select _unit, _id from ${names.rows} where _unit > ${unit} or (_unit = ${unit} and _id > ${last})
        order by _unit, _id limit ${PAGE_ROWS}`,
      signal,
    )
    for (const [inUnit, id] of page) {
      nth = Number(inUnit) === unit ? nth + 1n : 1n
      unit = Number(inUnit)
      last = BigInt(id as string)
      const values = wanted.columns.map(
        (_, i) => sql`(select ${ident(`c${i}`)} from ${names.rows} where _id = ${last})`,
      )
      try {
        await connection.run(sql`call ${procedure}(${joinSql(values)})`, signal)
      } catch (error) {
        throw callError(error, { target, table: wanted.remote, row: `row ${nth} of "${unitOf(unit)}"` })
      }
      called++
    }
    if (page.length < PAGE_ROWS) return { ...nothingWritten, called }
  }
}

function callError(
  error: unknown,
  { target, table, row }: { readonly target: Target; readonly table: string; readonly row: string },
): unknown {
  const code = systemCodeOf(error)
  if (isNaruError(error) || code === undefined || !/^\d+$/.test(code) || NOT_THE_ROW.has(code)) return error
  const why = code === ENDS_TRANSACTION ? 'it commits or rolls back by itself, and all calls are one transaction: ' : ''
  const problem = withoutSecrets(target, messageOf(error))
  return fail(
    'WRITE_CALL',
    { system: target.source, table, row, problem: why + problem },
    { cause: new Error(problem) },
  )
}
