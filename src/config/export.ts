import type { Columns, Holds, Key, NameOf, Personal } from './column.ts'
import { conditionOf } from './contribution.ts'
import { columnsRow } from './fit.ts'
import { about, aboutOf, checkedColumns, checkedName, checkedOptions, deepFreeze, type Handle } from './handle.ts'
import { maskedColumn, maskOf, type Mask, type MaskedColumn } from './mask.ts'
import { mistake } from './mistake.ts'
import type { EntityDef, ExportDef, MaskDef } from './model.ts'
import type { columnsOf, Keyed, keyOf } from './source.ts'
import type { Condition, Row } from './value.ts'

declare const passedExport: unique symbol

/** A table that left the ODS: the only kind that the warehouse takes. */
export interface Exported<N extends string, C extends Columns, K extends Key> extends Handle {
  readonly [passedExport]: true
  readonly [columnsOf]: C
  readonly [keyOf]: K
  readonly exportName: N
}

interface AnyEntity<C extends Columns, K extends Key> extends Keyed<C, K> {
  readonly entityName: string
}

// The first test looks at all columns at once: most tables have no personal data and need no look at each.
type PersonalNames<C extends Columns> =
  Personal extends Holds<C[keyof C]>
    ? { [N in keyof C]: Personal extends Holds<C[N]> ? N : never }[keyof C] & string
    : never

declare const personalColumns: unique symbol
/** Stands in a compiler message: these personal columns need a mask in the options. */
export interface NeedsMaskFor<N extends string> {
  readonly [personalColumns]: N
}

interface AnyMasks {
  readonly [column: string]: Mask<MaskDef['kind'], never>
}

type PersonalColumns<N extends string> = { readonly [X in N]: unknown }
/** Each mask fits its column. A key must still tell rows apart. */
type MasksFit<C extends Columns, K extends Key, M> = {
  readonly [N in keyof M]: N extends NameOf<C>
    ? N extends K[number]
      ? M[N] extends { readonly kind: 'hash' }
        ? unknown
        : 'a key can only be hashed'
      : Mask<MaskDef['kind'], Holds<C[N]>>
    : `this entity has no column ${N & string}`
}

/** The columns after masking: types changed, dropped ones gone. In two parts, so that plain columns cost next to nothing. */
type Masked<C extends Columns, M> = [keyof M] extends [never]
  ? C
  : { readonly [N in Exclude<keyof C, keyof M>]: C[N] } & {
      readonly [N in Exclude<keyof M, Dropped<M>> & keyof C]: MaskedColumn<C[N], M[N]>
    }
type Dropped<M> = { [N in keyof M]: M[N] extends { readonly kind: 'drop' } ? N : never }[keyof M]

/** Exports an entity without personal data as it is. */
export function exportEntity<const N extends string, C extends Columns, K extends Key>(
  name: N,
  entity: ([PersonalNames<C>] extends [never] ? unknown : NeedsMaskFor<PersonalNames<C>>) & AnyEntity<C, K>,
): Exported<N, C, K>
/** Exports an entity: each personal column has a mask, others may have one, and `where` says which rows may leave. */
export function exportEntity<const N extends string, C extends Columns, K extends Key, const M extends AnyMasks>(
  name: N,
  entity: AnyEntity<C, K>,
  options: {
    readonly mask: PersonalColumns<PersonalNames<C>> & MasksFit<C, K, M> & M
    readonly where?: (row: Row<C>) => Condition
  },
): Exported<N, Masked<C, M>, K>
export function exportEntity(name: string, entity: Handle, options: ExportGiven = { mask: {} }): unknown {
  checkedName('export', name)
  const where = `export ${name}`
  checkedOptions(where, options, ['mask', 'where'])
  const found = aboutOf(entity)
  if (found?.kind !== 'entity') throw mistake(`${where} is made from an entity`)
  const def: ExportDef = {
    name,
    entity: found.def.name,
    ...maskedTable(where, found.def, options.mask ?? {}),
    key: found.def.key,
    where:
      options.where === undefined
        ? null
        : conditionOf(`where of ${where}`, options.where(columnsRow(where, found.def.columns))),
  }
  return Object.freeze({ [about]: { kind: 'export', def: deepFreeze(def), uses: [entity] }, exportName: name })
}

interface ExportGiven {
  readonly mask?: Readonly<Record<string, unknown>>
  readonly where?: (row: Row<Columns>) => unknown
}

function maskedTable(
  where: string,
  entity: EntityDef,
  given: Readonly<Record<string, unknown>>,
): Pick<ExportDef, 'columns' | 'masks'> {
  checkedColumns(
    `entity ${entity.name}`,
    Object.keys(given),
    entity.columns.map(column => column.name),
  )
  const masks = Object.entries(given).map(([column, value]) => {
    const def = maskOf(value)
    if (def === null) throw mistake(`${where}: the mask of ${column} is made by mask.hash(), mask.drop() and the like`)
    if (entity.key.includes(column) && def.kind !== 'hash')
      throw mistake(`${where}: the key ${column} can only be hashed`)
    return { column, mask: def }
  })
  const bare = entity.columns.find(({ name, personal }) => personal && !masks.some(({ column }) => column === name))
  if (bare !== undefined) throw mistake(`${where}: the personal column ${bare.name} has no mask`)
  const columns = entity.columns.flatMap(column => {
    const kept = maskedColumn(column, masks.find(other => other.column === column.name)?.mask)
    return kept === null ? [] : [kept]
  })
  return { columns, masks }
}
