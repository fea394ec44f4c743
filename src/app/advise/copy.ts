import { fail } from '../../core/errors.ts'
import { sha256 } from '../../core/env.ts'
import { cellText } from '../../core/cell-text.ts'
import type { ColumnBatch, ColumnData } from '../../core/batch.ts'
import { changeOp, type TableChanges } from '../../core/change-slice.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { TableShape } from '../../services/adapter/contract.ts'

/** Most values of a table that a trial follows, rows times columns: every technique keeps a copy of its own in memory, 30 MiB at most. */
export const TRIAL_VALUES_MAX = 500_000
/** Longer values are kept as a hash. */
const TEXT_MAX = 40

type Row = (string | null)[]

/** How a copy differs from its table. */
export interface Difference {
  /** Rows of the table that the copy does not have. */
  readonly lost: number
  /** Rows that have other values. */
  readonly stale: number
  /** Rows that the table no longer has. */
  readonly ghost: number
}

/** A small copy of a table, kept by one technique: values as text, by key. */
export class TableCopy {
  readonly #shape: TableShape
  readonly #rows = new Map<string, Row>()
  /** Rows and changes that came in. */
  taken = 0

  constructor(shape: TableShape) {
    this.#shape = shape
  }

  get size(): number {
    return this.#rows.size
  }

  /** Forgets every row: the whole table comes anew. */
  clear(): void {
    this.#rows.clear()
  }

  /** Takes the rows of a read. */
  take(batch: ColumnBatch, names: readonly string[]): void {
    const columns = this.#columnsOf(names)
    for (let row = 0; row < batch.rows; row++) {
      const values = columns.map(({ type }, i) => textOf(type, batch.columns[i] as ColumnData, row))
      this.#rows.set(this.#keyOf(columns, values), values)
      this.taken += 1
    }
    this.#assertSmall()
  }

  /** Takes changes of a stream, and tells the keys they are about; `null` when the whole table was emptied. */
  apply({ rows, ops, columns, unchanged }: TableChanges, tell: (key: string | null) => void): void {
    let moved: Row | undefined
    for (let row = 0; row < rows.rows; row++) {
      this.taken += 1
      const op = ops[row]
      if (op === changeOp.truncate) {
        this.#rows.clear()
        tell(null)
        continue
      }
      const given = columns.map(({ type }, i) => textOf(type, rows.columns[i] as ColumnData, row))
      const key = this.#keyOf(columns, given)
      const before = op === changeOp.move ? moved : this.#rows.get(key)
      if (op === changeOp.delete) {
        moved = before
        this.#rows.delete(key)
      } else {
        const values = this.#shape.columns.map(({ name }, place): string | null => {
          const i = columns.findIndex(it => it.name === name)
          const bits = i < 0 ? null : unchanged[i]
          const isKept = i < 0 || (bits != null && ((bits[row >> 3] as number) & (1 << (row & 7))) !== 0)
          return isKept ? (before?.[place] ?? null) : (given[i] as string | null)
        })
        this.#rows.set(key, values)
      }
      tell(key)
    }
    this.#assertSmall()
  }

  /** The keys at which this copy is not what `truth` is. */
  differences(truth: TableCopy): Map<string, keyof Difference> {
    const found = new Map<string, keyof Difference>()
    for (const [key, row] of truth.#rows) {
      const own = this.#rows.get(key)
      if (own === undefined) found.set(key, 'lost')
      else if (own.some((value, i) => value !== row[i])) found.set(key, 'stale')
    }
    for (const key of this.#rows.keys()) if (!truth.#rows.has(key)) found.set(key, 'ghost')
    return found
  }

  /** True when both have the same for a key. */
  agrees(key: string, truth: TableCopy): boolean {
    const [own, other] = [this.#rows.get(key), truth.#rows.get(key)]
    if (own === undefined || other === undefined) return own === other
    return own.every((value, i) => value === other[i])
  }

  /** Throws `TRIAL_NOT_POSSIBLE` where the memory would not hold it. */
  #assertSmall(): void {
    const { columns, remote } = this.#shape
    if (this.#rows.size * columns.length > TRIAL_VALUES_MAX) throw tooLarge(remote, columns.length)
  }

  #columnsOf(names: readonly string[]): readonly ColumnDef[] {
    return names.map(name => this.#shape.columns.find(it => it.name === name) as ColumnDef)
  }

  #keyOf(columns: readonly ColumnDef[], values: Row): string {
    const parts = this.#shape.key.map(name => values[columns.findIndex(it => it.name === name)] ?? null)
    return parts.length === 1 ? String(parts[0]) : JSON.stringify(parts)
  }
}

/** The refusal of a table that has too many rows to be kept in memory. */
export function tooLarge(table: string, columns: number): Error {
  const rows = Math.floor(TRIAL_VALUES_MAX / Math.max(1, columns))
  const problem = `it has over ${rows} rows, and each technique keeps a copy of it in memory`
  return fail('TRIAL_NOT_POSSIBLE', { table, problem })
}

/** How many of each kind. */
export function countOf(differences: ReadonlyMap<string, keyof Difference>): Difference {
  const of = (kind: keyof Difference): number => [...differences.values()].filter(it => it === kind).length
  return { lost: of('lost'), stale: of('stale'), ghost: of('ghost') }
}

function textOf(type: ColumnDef['type'], column: ColumnData, row: number): string | null {
  const text = cellText(type, column, row)
  return text === null || text.length <= TEXT_MAX ? text : sha256(text)
}
