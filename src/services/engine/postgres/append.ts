import type { ColumnBatch } from '../../../core/batch.ts'
import { fail } from '../../../core/errors.ts'
import { renderSql, sql, type Ident } from '../../../core/sql.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../../core/types.ts'
import { copyIn } from '../../../systems/postgres/copy-in.ts'
import { copyWriter, UnfitValue } from '../../../systems/postgres/copy-writer.ts'
import { bufferPool } from '../../../core/buffer-pool.ts'
import { fixedWidth } from '../../../core/batch.ts'
import { unfitFinder } from '../../../systems/postgres/unfit-rows.ts'
import type { TableColumnNow, UnfitRow } from '../contract.ts'
import { postgresEngineDialect } from './dialect.ts'
import { statementError } from './errors.ts'
import { refuseAborted, type Session } from './session.ts'

/** Bytes of the batches are sent by binary COPY; the pieces are used again for every table. */
export interface Appender {
  append(table: Ident, columns: readonly ColumnDef[], batch: ColumnBatch, signal: AbortSignal): Promise<void>
  unfit(columns: readonly ColumnDef[], batch: ColumnBatch): readonly UnfitRow[]
}

/** Longest silence of the server while it is sent to. */
const SILENCE_MS = 600_000

export function appender(session: Session): Appender {
  const pool = bufferPool()
  /** Batches in which every value has a place: they are not looked through again. */
  const checked = new WeakSet<ColumnBatch>()
  let finder: { readonly columns: readonly ColumnDef[]; readonly find: ReturnType<typeof unfitFinder> } | null = null
  let last: { readonly columns: readonly ColumnDef[]; readonly writer: ReturnType<typeof copyWriter> } | null = null
  return {
    unfit: (columns, batch) => {
      if (finder?.columns !== columns) finder = { columns, find: unfitFinder(columns) }
      const found = finder.find(batch)
      if (found.length === 0) checked.add(batch)
      return found
    },
    append: async (table, columns, batch, signal) => {
      refuseAborted(signal)
      if (last?.columns !== columns) last = { columns, writer: copyWriter(columns, pool) }
      const { writer } = last
      const statement = renderSql(sql`copy ${table} from stdin (format binary)`, postgresEngineDialect)
      const { env, address } = session.site
      const limits = { env, what: `the database at ${address}`, silenceMs: SILENCE_MS, signal }
      const pieces = async function* (): AsyncIterable<Buffer> {
        yield writer.header()
        yield* writer.pieces(batch, { isChecked: checked.has(batch) })
        yield writer.trailer()
      }
      try {
        await copyIn(session.client, statement.text, pieces(), limits, piece =>
          pool.give([piece.buffer as ArrayBuffer]),
        )
      } catch (error) {
        refuseAborted(signal, error)
        if (!(error instanceof UnfitValue)) throw statementError(error, session.site, statement)
        const at = { table: table.path.join('.'), column: error.column, problem: error.message }
        throw fail('ENGINE_VALUE', at, { cause: error })
      }
    },
  }
}

/** Refuses rows that are laid out in another way than the table: the server would read other values from their bytes. */
export function checkLayout(
  table: Ident,
  found: readonly TableColumnNow[],
  columns: readonly ColumnDef[],
  batch: ColumnBatch,
): void {
  const refuse = (why: string): never => {
    throw fail('INTERNAL', { what: `rows for ${table.path.join('.')} do not fit: ${why}` })
  }
  if (found.length !== columns.length || batch.columns.length !== columns.length) {
    refuse(`${batch.columns.length} columns for ${found.length}`)
  }
  columns.forEach(({ name, type }, i) => {
    if (found[i]?.type !== storedAs(type)) refuse(`column ${name} of the table is not ${typeText(type)}`)
    const column = batch.columns[i] as ColumnBatch['columns'][number]
    const fits =
      column.layout === 'fixed'
        ? column.width === fixedWidth(type) && column.data.byteLength >= batch.rows * column.width
        : fixedWidth(type) === null && column.offsets.length > batch.rows
    const marked = column.validity === null || column.validity.byteLength >= (batch.rows + 7) >> 3
    if (!fits || !marked) refuse(`its column ${name} is too short for ${batch.rows} rows of ${typeText(type)}`)
  })
}

/** The type of a column as the catalog spells it. */
function storedAs(type: ColumnType): string {
  if (type.kind === 'time') return 'time without time zone'
  if (type.kind === 'timestamp') return type.zoned ? 'timestamp with time zone' : 'timestamp without time zone'
  return postgresEngineDialect.type(type)
}
