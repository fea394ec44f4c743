import { sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import type { KeyBound } from '../services/adapter/contract.ts'
import type { Cell, Transaction } from '../services/engine/contract.ts'

/** What a unit is of: see `Unit`. */
export type UnitKind = 'chunk' | 'place' | 'slice' | 'delta' | 'file'

/** A finished chunk or file of a load. */
export interface Unit {
  readonly unit: number
  /** chunk: a range of keys. place: a physical range. slice: of a backfill. */
  readonly kind: UnitKind
  readonly after: KeyBound | null
  readonly upTo: KeyBound | null
  readonly file: string | null
  readonly contentHash: string | null
  readonly rows: number
  readonly rejected: number
}

export async function writeUnit(tx: Transaction, load: bigint, unit: Unit): Promise<void> {
  const bound = (key: KeyBound | null): string | null => (key === null ? null : JSON.stringify(key))
  await tx.execute(sql`delete from naru.unit where load = ${load} and unit = ${unit.unit}`)
  await tx.execute(sql`
    insert into naru.unit values (${load}, ${unit.unit}, ${unit.kind}, ${bound(unit.after)}, ${bound(unit.upTo)},
      ${unit.file}, ${unit.contentHash}, ${unit.rows}, ${unit.rejected})`)
}

/** The bounds of chunks are keys: those of persons are kept no longer than a broken load may go on from them. */
export async function forgetBounds(tx: Transaction, table: SourceTableDef, load: bigint): Promise<void> {
  if (!table.columns.some(column => column.personal && table.key.includes(column.name))) return
  await tx.execute(sql`update naru.unit set key_after = ${null}, key_up_to = ${null} where load = ${load}`)
}

/** Finished units of a load, in order. */
export async function readUnits(tx: Transaction, load: bigint): Promise<readonly Unit[]> {
  const rows = await tx.rows(sql`select * from naru.unit where load = ${load} and kind <> 'file' order by unit`)
  const bound = (cell: Cell | undefined): KeyBound | null =>
    typeof cell === 'string' ? (JSON.parse(cell) as KeyBound) : null
  return rows.map(row => ({
    unit: row['unit'] as number,
    kind: row['kind'] as UnitKind,
    after: bound(row['key_after']),
    upTo: bound(row['key_up_to']),
    file: null,
    contentHash: null,
    rows: Number(row['rows_read']),
    rejected: Number(row['rows_rejected']),
  }))
}
