import { isValid, type ColumnBatch, type ColumnData } from '../../../core/batch.ts'
import { cellText } from '../../../core/cell-text.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../../core/types.ts'
import { decimalDigitsMax, hasTextAffinity, typeOf } from './types.ts'
import type { SqliteValue } from './database.ts'

/** What a column of the type is declared as, so that it is read back as what it was; the rest is exact text. */
export function declaredType(type: ColumnType): string {
  switch (type.kind) {
    case 'bool':
      return 'BOOLEAN'
    case 'int':
      return type.bits === 16 ? 'INT2' : type.bits === 32 ? 'INT4' : 'BIGINT'
    case 'decimal':
      return type.precision <= decimalDigitsMax ? `DECIMAL(${type.precision},${type.scale})` : 'TEXT'
    case 'float':
      return 'REAL'
    case 'bytes':
      return 'BLOB'
    default:
      return 'TEXT'
  }
}

/** Text of these kinds never looks like a number, so that no affinity turns it into one. */
const plainText: readonly ColumnType['kind'][] = ['uuid', 'date', 'time', 'timestamp', 'interval']

/** Why a column declared so cannot hold every value of the type exactly; `null` when it can. */
export function misfitOfColumn(type: ColumnType, declared: string): string | null {
  const [stored, found] = [typeOf(declaredType(type)), typeOf(declared)]
  const isWider = stored.kind === 'int' && found.kind === 'int' && stored.bits <= found.bits
  const isSame = stored.kind !== 'text' && typeText(stored) === typeText(found)
  if (isWider || isSame || isKeptAsText(type, declared)) return null
  if (found.kind === 'text' && plainText.includes(type.kind)) return null
  return `it is declared ${declared === '' ? 'without a type' : declared}, which does not hold every ${typeText(type)}`
}

/** True where a column declared so keeps the text of a value, and would lose the zeros of a number. */
export function isKeptAsText({ kind }: ColumnType, declared: string): boolean {
  return kind !== 'bytes' && (hasTextAffinity(declared) || declared === '')
}

/** A column that is written; `nullable` where the target takes NULL. */
export interface WrittenColumn extends ColumnDef {
  readonly asText: boolean
}

/** A value that SQLite cannot keep, by its place in the batch. */
export interface Misfit {
  readonly column: ColumnDef
  readonly row: number
  readonly problem: string
}

/** The rows of a batch as SQLite binds them; NULL only where a column is `nullable`. `refuse` is called, and must throw, for a value that would not stay what it is. */
export function* valuesOf(
  columns: readonly WrittenColumn[],
  batch: ColumnBatch,
  refuse: (misfit: Misfit) => never,
): Generator<SqliteValue[]> {
  for (let row = 0; row < batch.rows; row++) {
    yield columns.map((column, i) => {
      const value = valueOf(column, batch.columns[i] as ColumnData, row)
      if (value === null && !column.nullable) {
        refuse({ column, row, problem: 'it is NULL, and the column, or a key, takes none' })
      }
      if (typeof value === 'string' && value.includes('\0')) {
        refuse({ column, row, problem: 'SQLite ends a text at a NUL character' })
      }
      if (typeof value === 'number' && Number.isNaN(value)) refuse({ column, row, problem: 'SQLite has no NaN' })
      return value
    })
  }
}

function valueOf({ type, asText }: WrittenColumn, data: ColumnData, row: number): SqliteValue {
  if (!isValid(data.validity, row)) return null
  if (type.kind === 'bytes' && data.layout === 'bytes') {
    return data.data.slice(data.offsets[row], data.offsets[row + 1])
  }
  const text = cellText(type, data, row) as string
  if (asText) return text
  switch (type.kind) {
    case 'bool':
      return text === 'true' ? 1n : 0n
    case 'int':
      return BigInt(text)
    case 'decimal':
      return type.precision <= decimalDigitsMax ? Number(text) : text
    case 'float':
      // A 32-bit float is stored as the number that it is, not as its shortest text.
      return type.bits === 32 ? Math.fround(Number(text)) : Number(text)
    default:
      return text
  }
}

/** A stored value as `cellText` spells what it was made of. */
export function storedText(type: ColumnType, value: SqliteValue): string | null {
  if (value === null) return null
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  if (typeof value === 'string') return value
  if (type.kind === 'bool') return Number(value) === 0 ? 'false' : 'true'
  if (type.kind !== 'decimal') return String(value)
  // The nearest float of a decimal of at most 15 digits prints as that decimal.
  return Number(value).toFixed(type.scale)
}
