import { asText, hashOf, wide } from '../core/dialect-functions.ts'
import { fail } from '../core/errors.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../core/sql.ts'
import type { StageContext } from '../run/context.ts'
import { equalKeys } from '../run/tables.ts'
import type { Row } from '../services/engine/contract.ts'
import type { FactLayout } from './fact-rows.ts'

interface Measure {
  readonly name: string
  readonly of: Sql
}

/**
 * Compares totals of the fact with those of its export, both as they stand in this transaction, and stores both ends.
 * Whole tables: 3,000,000 rows take some 50 ms a side, and nothing has to be believed from the run before. With `within`
 * only the rows of those keys, of which nothing is stored: a publish among many small ones (decision 23).
 * A difference stops the publish.
 */
export async function reconcileFact(ctx: StageContext, layout: FactLayout, within: Ident | null): Promise<void> {
  const measures = measuresOf(layout)
  const exported = await totals(ctx, rowsOf(layout.source, layout, within), measures)
  const held = await totals(ctx, rowsOf(layout.table, layout, within), measures)
  const differing = measures.filter(({ name }) => exported[name] !== held[name])
  if (differing.length > 0) {
    const texts = differing.map(({ name }) => `${name}: ${exported[name]} exported, ${held[name]} in the fact`)
    const { name: fact, export: from } = layout.definition
    throw fail('FACT_NOT_RECONCILED', { fact, export: from, differences: texts.join('; ') })
  }
  if (within !== null) return
  const rows = measures.map(
    ({ name }) =>
      sql`(${ctx.run.id}, ${layout.definition.name}, ${name}, ${exported[name] as string | null},
        ${held[name] as string | null}, true)`,
  )
  const same = sql`run = ${ctx.run.id} and fact = ${layout.definition.name}`
  await ctx.tx.execute(sql`delete from naru.reconciliation where ${same}`)
  await ctx.tx.execute(sql`insert into naru.reconciliation values ${joinSql(rows)}`)
}

function measuresOf(layout: FactLayout): readonly Measure[] {
  const measures: Measure[] = [{ name: 'rows', of: sql`count(*)` }]
  for (const { name, type } of layout.kept) {
    if (type.kind !== 'int' && type.kind !== 'decimal' && type.kind !== 'float') continue
    const column = ident(name)
    // A sum of floats depends on the order of the rows; a sum of their hashes does not.
    const sum: Measure =
      type.kind === 'float'
        ? { name: `hash(${name})`, of: sql`sum(${wide(hashOf([column]))})` }
        : { name: `sum(${name})`, of: sql`sum(${column})` }
    measures.push(
      { name: `count(${name})`, of: sql`count(${column})` },
      sum,
      { name: `min(${name})`, of: sql`min(${column})` },
      { name: `max(${name})`, of: sql`max(${column})` },
    )
  }
  return measures
}

function rowsOf(table: Ident, { key }: FactLayout, within: Ident | null): Sql {
  if (within === null) return sql`${table}`
  return sql`(select * from ${table} t where exists (select 1 from ${within} w where ${equalKeys('w', 't', key)})) r`
}

async function totals(ctx: StageContext, table: Sql, measures: readonly Measure[]): Promise<Row> {
  const columns = measures.map(({ name, of }) => sql`${asText(of)} as ${ident(name)}`)
  const [row] = await ctx.tx.rows(sql`select ${joinSql(columns)} from ${table}`)
  return row as Row
}
