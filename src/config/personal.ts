import { childrenOf, type Expr } from '../core/expr.ts'
import type { ColumnDef } from '../core/types.ts'
import { mistake } from './mistake.ts'
import type { EntityDef, SourceDef } from './model.ts'

/** What an expression reads when it reads something personal: a column, or the golden key of an entity. */
export type PersonalPart = Extract<Expr, { readonly kind: 'column' | 'resolve' }>

/**
 * The first part that makes the value of an expression personal; `null` when none does. A value chosen by a personal one
 * tells it. Whether a value is missing does not: masks keep that too. Nor does what a golden key was found by: the key
 * tells only itself.
 */
export function personalPart(expr: Expr, isPersonal: (column: string) => boolean): PersonalPart | null {
  if (expr.kind === 'column') return isPersonal(expr.name) ? expr : null
  if (expr.kind === 'resolve') return expr.personal ? expr : null
  if (expr.kind === 'call' && expr.fn === 'isNull') return null
  for (const child of childrenOf(expr)) {
    const part = personalPart(child, isPersonal)
    if (part !== null) return part
  }
  return null
}

/**
 * Refuses an expression that would carry personal data into a column that is not marked so: an export would let it out
 * unmasked. The compiler refuses it as well; this is for a config that was not type-checked.
 */
export function assertMarked(
  entity: string,
  target: ColumnDef,
  expr: Expr,
  from: { readonly name: string; readonly columns: readonly ColumnDef[] },
): void {
  if (target.personal) return
  const part = personalPart(expr, name => from.columns.some(column => column.name === name && column.personal))
  if (part === null) return
  const what = part.kind === 'column' ? `${from.name}.${part.name}` : `the key of ${part.entity}`
  throw mistake(
    `${what} is personal data and flows into ${entity}.${target.name}, which is not marked: ` +
      `add .pii() to ${entity}.${target.name}, or mask it in the source`,
  )
}

/**
 * The sources with the marks that only entities give: a column that becomes a personal one as it is holds the same
 * values, so it is masked from staging on, and may flow into no column of another entity that is not marked.
 */
export function withMarks(sources: readonly SourceDef[], entities: readonly EntityDef[]): readonly SourceDef[] {
  const marked = new Set(entities.flatMap(copiesIntoPersonal))
  const made = sources.map(source => ({
    ...source,
    tables: source.tables.map(table => ({
      ...table,
      columns: table.columns.map(column =>
        marked.has(`${table.source}.${table.name}.${column.name}`) ? { ...column, personal: true } : column,
      ),
    })),
  }))
  const tables = made.flatMap(source => source.tables)
  for (const { name, columns, contributions } of entities) {
    for (const { source, table, map } of contributions) {
      const from = tables.find(it => it.source === source && it.name === table)
      for (const { column, expr } of map) {
        const target = columns.find(it => it.name === column)
        if (from !== undefined && target !== undefined)
          assertMarked(name, target, expr, { name: `${source}.${table}`, columns: from.columns })
      }
    }
  }
  return made
}

function copiesIntoPersonal({ columns, contributions }: EntityDef): readonly string[] {
  const personal = columns.filter(column => column.personal).map(column => column.name)
  return contributions.flatMap(({ source, table, map }) =>
    map
      .filter(({ column }) => personal.includes(column))
      .map(({ expr }) => copied(expr))
      .filter(name => name !== null)
      .map(name => `${source}.${table}.${name}`),
  )
}

/** The column that an expression is, converted or not. */
function copied(expr: Expr): string | null {
  if (expr.kind === 'cast') return copied(expr.arg)
  return expr.kind === 'column' ? expr.name : null
}
