import type { Columns } from './column.ts'
import { checkedColumns, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import type { EntityDef, RuleDef } from './model.ts'
import { draftOf, type RuleDraft } from './rule.ts'
import type { Row } from './value.ts'

/** Turns the rules given for an entity into definitions with stable ids, and the handles they refer to. */
export function ruleDefs(
  def: EntityDef,
  given: Readonly<Record<string, unknown>>,
  row: Row<Columns>,
): { readonly defs: readonly RuleDef[]; readonly uses: readonly Handle[] } {
  checkedColumns(`entity ${def.name}`, Object.keys(given), ['*', ...def.columns.map(column => column.name)])
  const drafts = Object.entries(given).flatMap(([column, value]) => draftsOf(def, column, value, row))
  const taken = new Set(def.rules.map(rule => rule.id))
  const defs = drafts.map(({ check, columns, severity, limit }) => {
    const id = freeId(taken, `${columns.join('+')}.${check.kind}`)
    return { id, columns, check, severity, limit }
  })
  return { defs, uses: drafts.flatMap(draft => draft.uses) }
}

function draftsOf(def: EntityDef, column: string, given: unknown, row: Row<Columns>): readonly RuleDraft[] {
  const value = column === '*' ? (given as (row: Row<Columns>) => unknown)(row) : given
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return list.map(item => {
    const draft = draftOf(item)
    if (draft === null)
      throw mistake(`the rules of ${def.name}.${column} are made by rule.range(), rule.required() and the like`)
    const isRowRule = draft.columns.length > 0
    if (isRowRule !== (column === '*')) {
      throw mistake(
        `rule.${draft.check.kind} of ${def.name} belongs under ${isRowRule ? "'*'" : 'a column'}, not under ${column}`,
      )
    }
    return isRowRule ? draft : { ...draft, columns: [column] }
  })
}

/** `delay.range`, then `delay.range.2`: the same for every evaluation. */
function freeId(taken: Set<string>, wanted: string): string {
  let id = wanted
  for (let n = 2; taken.has(id); n++) id = `${wanted}.${n}`
  taken.add(id)
  return id
}
