import { isUtf8 } from 'node:buffer'
import { fixedWidth, type ColumnBatch, type ColumnData } from '../../../core/batch.ts'
import { decimalText } from '../../../core/cell-text.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnType } from '../../../core/types.ts'
import type { RowReject, SourceBatch } from '../contract.ts'
import type { CatalogColumn } from './catalog.ts'
import type { SqliteRow, SqliteValue } from './database.ts'
import { fitted, rowBytes } from './types.ts'

/** A batch ends at this many bytes or rows, below the 8 MiB that a batch may have; a row beyond it is a batch of its own. */
const batchBytes = 4 << 20
const batchRows = 8192
const rejectsMax = 1000

/** Characters kept of an offending value. */
const contentChars = 1000

/**
 * The columns of the SELECT that `RowBatches` reads: `n` is the size of the row, `c0`, `c1`... the values. Text comes as
 * bytes, so that none is lost at a NUL; a value that its type does not hold comes as text that says what it is.
 */
export function selectList(columns: readonly CatalogColumn[], maxValueBytes: number): Sql {
  const sized = columns.filter(column => fixedWidth(column.type) === null).map(column => ident(column.name))
  const values = columns.map((column, i) => sql`${readable(column, maxValueBytes)} as ${ident(`c${i}`)}`)
  return joinSql([sql`${rowBytes(sized)} as n`, ...values])
}

function readable(column: CatalogColumn, maxValueBytes: number): Sql {
  const value = sql`${ident(column.name)}`
  const fit = fitted(column.type, ident(column.name))
  const sized = column.type.kind === 'text' ? sql`cast(${fit} as blob)` : fit
  const misfit = sql`typeof(${value}) || ' ' || quote(substr(${value}, 1, ${contentChars / 4}))`
  return sql`case when ${value} is null then null
    when octet_length(${value}) > ${maxValueBytes} then cast(substr(${value}, 1, ${contentChars}) as blob)
    else coalesce(${sized}, ${misfit}) end`
}

/** Batches in the making: rows of the driver go in, column batches with rejects come out. */
export class RowBatches {
  readonly #columns: readonly CatalogColumn[]
  readonly #key: readonly number[]
  readonly #maxValueBytes: number
  #builders: readonly ColumnBuilder[]
  #rejects: RowReject[] = []
  #rows = 0
  #bytes = 0

  /** `key` names the key columns; a reject tells its key when all of them are among the columns. */
  constructor(columns: readonly CatalogColumn[], key: readonly string[], maxValueBytes: number) {
    this.#columns = columns
    this.#key = key.map(name => columns.findIndex(column => column.name === name))
    this.#maxValueBytes = maxValueBytes
    this.#builders = columns.map(column => makeBuilder(column.type))
  }

  get full(): boolean {
    return this.#rows >= batchRows || this.#bytes >= batchBytes || this.#rejects.length >= rejectsMax
  }

  get empty(): boolean {
    return this.#rows === 0 && this.#rejects.length === 0
  }

  add(row: SqliteRow): void {
    const values = this.#columns.map((_, i) => row[`c${i}`] as SqliteValue)
    const reject = this.#problemOf(values, Number(row['n']))
    if (reject !== null) {
      this.#rejects.push(reject)
      return
    }
    for (let i = 0; i < values.length; i++) (this.#builders[i] as ColumnBuilder).add(values[i] as SqliteValue)
    this.#rows++
    this.#bytes += Number(row['n']) + 8 * values.length
  }

  take(): SourceBatch {
    const batch: ColumnBatch = { rows: this.#rows, columns: this.#builders.map(builder => builder.take()) }
    const rejects = this.#rejects
    this.#rejects = []
    this.#rows = 0
    this.#bytes = 0
    return { batch, rejects }
  }

  #problemOf(values: readonly SqliteValue[], bytes: number): RowReject | null {
    if (bytes > this.#maxValueBytes) {
      const largest = values.map(textOf).reduce((a, b) => (b.length > a.length ? b : a), '')
      const detail = `the row has ${bytes} bytes, the limit is ${this.#maxValueBytes}`
      return this.#reject('VALUE_TOO_LARGE', detail, { values, bytes, content: largest })
    }
    for (const [i, column] of this.#columns.entries()) {
      const problem = misfitOf(column.type, values[i] as SqliteValue)
      if (problem === null) continue
      const content = textOf(values[i] as SqliteValue)
      const detail = `column "${column.name}" is ${typeText(column.type)}, ${problem}`
      return this.#reject('VALUE_NOT_IN_TYPE', detail, { values, bytes, content })
    }
    return null
  }

  #reject(
    reason: RowReject['reason'],
    detail: string,
    row: { readonly values: readonly SqliteValue[]; readonly bytes: number; readonly content: string },
  ): RowReject {
    const content = row.content.slice(0, contentChars)
    return { reason, detail, key: this.#keyOf(row.values), line: null, bytes: row.bytes, content }
  }

  #keyOf(values: readonly SqliteValue[]): Record<string, string | null> | null {
    const parts = this.#key.map(i => [this.#columns[i], values[i] ?? null] as const)
    const isKnown = parts.every(([column, value]) => column !== undefined && misfitOf(column.type, value) === null)
    if (!isKnown) return null
    return Object.fromEntries(
      parts.map(([column, value]) => {
        const { name, type } = column as CatalogColumn
        return [name, value === null ? null : keyText(type, value)]
      }),
    )
  }
}

/** A fitted value as the text of a key bound. */
export function keyText(type: ColumnType, value: Exclude<SqliteValue, null>): string {
  if (type.kind === 'decimal') return decimalText(BigInt(value as number), type.scale)
  if (value instanceof Uint8Array) return Buffer.from(value).toString(type.kind === 'bytes' ? 'hex' : 'utf8')
  return String(value)
}

/** Why a value is not one of its type, `null` when it is. What SQL found comes as text, where text itself is bytes. */
function misfitOf(type: ColumnType, value: SqliteValue): string | null {
  if (typeof value === 'string') return `the value is ${value.split(' ', 1)[0] ?? ''}`
  if (type.kind !== 'text' || value === null) return null
  const bytes = value as Uint8Array
  if (!isUtf8(bytes)) return 'the value is no UTF-8 text'
  return bytes.includes(0) ? 'the text holds a NUL character' : null
}

function textOf(value: SqliteValue): string {
  if (value === null) return ''
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8', 0, contentChars * 4) : String(value)
}

interface ColumnBuilder {
  add(value: SqliteValue): void
  take(): ColumnData
}

function makeBuilder(type: ColumnType): ColumnBuilder {
  const width = fixedWidth(type)
  return width === null ? bytesBuilder() : fixedBuilder(width, putOf(type))
}

type Put = (view: DataView, at: number, value: number | bigint) => void

function putOf(type: ColumnType): Put {
  if (type.kind === 'float') return (view, at, value) => view.setFloat64(at, Number(value), true)
  switch (fixedWidth(type)) {
    case 1:
      return (view, at, value) => view.setUint8(at, Number(value))
    case 2:
      return (view, at, value) => view.setInt16(at, Number(value), true)
    case 4:
      return (view, at, value) => view.setInt32(at, Number(value), true)
    default:
      return (view, at, value) => view.setBigInt64(at, BigInt(value), true)
  }
}

function fixedBuilder(width: 1 | 2 | 4 | 8 | 16, put: Put): ColumnBuilder {
  let data = new Uint8Array(batchRows * width)
  let view = new DataView(data.buffer)
  const nulls = nullsBuilder()
  let rows = 0
  return {
    add: value => {
      if (value === null) nulls.add(rows)
      else put(view, rows * width, value as number | bigint)
      rows++
    },
    take: () => {
      const taken = {
        layout: 'fixed',
        width,
        validity: nulls.take(rows),
        data: data.subarray(0, rows * width),
      } as const
      data = new Uint8Array(batchRows * width)
      view = new DataView(data.buffer)
      rows = 0
      return taken
    },
  }
}

function bytesBuilder(): ColumnBuilder {
  let data = new Uint8Array(64 << 10)
  let used = 0
  const offsets = new Uint32Array(batchRows + 1)
  const nulls = nullsBuilder()
  let rows = 0
  return {
    add: value => {
      if (value === null) nulls.add(rows)
      else {
        const bytes = value as Uint8Array
        if (used + bytes.length > data.length) {
          const larger = new Uint8Array(Math.max(data.length * 2, used + bytes.length))
          larger.set(data.subarray(0, used))
          data = larger
        }
        data.set(bytes, used)
        used += bytes.length
      }
      offsets[++rows] = used
    },
    take: () => {
      const validity = nulls.take(rows)
      const taken = {
        layout: 'bytes',
        validity,
        offsets: offsets.slice(0, rows + 1),
        data: data.slice(0, used),
      } as const
      used = 0
      rows = 0
      return taken
    },
  }
}

function nullsBuilder(): { add(row: number): void; take(rows: number): Uint8Array | null } {
  const validity = new Uint8Array(Math.ceil(batchRows / 8)).fill(255)
  let count = 0
  return {
    add: row => {
      validity[row >> 3] = (validity[row >> 3] as number) & ~(1 << (row & 7))
      count++
    },
    take: rows => {
      if (count === 0) return null
      const taken = validity.slice(0, Math.ceil(rows / 8))
      validity.fill(255)
      count = 0
      return taken
    },
  }
}
