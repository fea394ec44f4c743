import { durationMs } from '../core/implementation.ts'
import type { ColumnType } from '../core/types.ts'
import type { Columns, Group, InstantGroup, NameOf, NamesOfGroup } from './column.ts'
import { checkedOptions } from './handle.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, DeletesDef } from './model.ts'
import type { Schema } from './source.ts'

/** A span of time: `'30s'`, `'10m'`, `'2h'`, `'1d'`. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/**
 * How changes of a table are seen. `full` reads the table and compares, so it sees deletes. `timestamp` reads the rows
 * whose column moved on; it is blind to deletes, so it must say what becomes of them: `keep` leaves the rows in place,
 * `sweep` compares the keys with the source that often.
 */
export type Change<C extends Columns, G extends Group = InstantGroup> = FullChange | TimestampChange<Stamps<C, G>>

export interface FullChange {
  readonly technique: 'full'
}

export interface TimestampChange<N extends string> {
  readonly technique: 'timestamp'
  /** The column that moves on with every change of a row. */
  readonly column: N
  readonly deletes: 'keep' | { readonly sweep: Duration }
  /** How late a row may become visible after its timestamp, for sources that cannot tell their open transactions. */
  readonly lag?: Duration
}

type Stamps<C extends Columns, G extends Group> = NamesOfGroup<C, G, 'a column with date and time: this table has none'>

export type Changes<S extends Schema, G extends Group = InstantGroup> = {
  readonly [T in keyof S]?: Change<S[T]['columns'], G>
} & {
  /** For every table that is not named and has this column, with date and time; the rest is read in full. */
  readonly '*'?: FullChange | TimestampChange<AnyName<S>>
}
// Names only: looking at the types of all columns of a large schema would cost more than all the rest of a config.
type AnyName<S extends Schema> = { [T in keyof S]: NameOf<S[T]['columns']> }[keyof S]

/** What a time is in a source: of a type of its own, or text as ISO 8601 where the source has no such type. */
export type StampKind = Extract<ColumnType['kind'], 'timestamp' | 'text'>

function isStamp(columns: Columns, name: string, stamps: readonly StampKind[]): boolean {
  return stamps.some(kind => columns[name]?.type.kind === kind)
}

/** `*` passes over tables without its column; one that fits no table at all is a mistake. */
export function assertUsable(
  source: string,
  schema: Schema,
  all: Change<Columns> | undefined,
  stamps: readonly StampKind[],
): void {
  if (all?.technique !== 'timestamp') return
  const isUsed = Object.values(schema).some(({ columns }) => isStamp(columns, all.column, stamps))
  if (!isUsed)
    throw mistake(`the changes of source "${source}": no table has a column "${all.column}" with date and time`)
}

/** The change technique of one table: its own, or `*` where its columns allow it, or a full read. */
export function changeOf(
  where: string,
  columns: Columns,
  changes: Changes<Schema>,
  { table, stamps }: { readonly table: string; readonly stamps: readonly StampKind[] },
): ChangeDef {
  const own = changes[table]
  const given = own ?? (changes['*'] as Change<Columns> | undefined)
  if (given === undefined || given.technique === 'full') {
    if (given !== undefined) checkedOptions(`${where}, technique full`, given, ['technique'])
    return { technique: 'full' }
  }
  if (given.technique !== 'timestamp') {
    throw mistake(
      `${where}: there is no technique "${String((given as { technique: unknown }).technique)}"; use full or timestamp`,
    )
  }
  checkedOptions(`${where}, technique timestamp`, given, ['technique', 'column', 'deletes', 'lag'])
  const isUsable = isStamp(columns, given.column, stamps)
  if (!isUsable && own === undefined) return { technique: 'full' }
  if (!isUsable)
    throw mistake(`${where}: the timestamp technique needs a column with date and time; "${given.column}" is none`)
  const { lag } = given
  return {
    technique: 'timestamp',
    column: given.column,
    lagMs: lag === undefined ? null : millis(`${where}, lag`, lag),
    deletes: deletesOf(where, given.deletes),
  }
}

function deletesOf(where: string, deletes: unknown): DeletesDef {
  if (deletes === 'keep') return { kind: 'keep' }
  if (typeof deletes !== 'object' || deletes === null || !('sweep' in deletes)) {
    throw mistake(`${where}: a timestamp cannot show a delete; say deletes: 'keep' or { sweep: '1d' }`)
  }
  return { kind: 'sweep', everyMs: millis(`${where}, sweep`, deletes.sweep) }
}

function millis(where: string, duration: unknown): number {
  const ms = durationMs(String(duration))
  if (ms === null) throw mistake(`${where}: ${JSON.stringify(duration)} is no duration such as '30s', '10m' or '1d'`)
  return ms
}
