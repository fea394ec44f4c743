import { ident, sql, type Ident } from '../core/sql.ts'
import type { Project } from '../config/model.ts'
import { stagedName, stagingNames } from '../run/tables.ts'
import type { Transaction } from '../services/engine/contract.ts'

export { stagedName } from '../run/tables.ts'

export type Counts = Readonly<Record<string, number>>

/** The state of every table after a run, as numbers: what `naru run --json` and `naru demo --json` print. */
export interface Summary {
  readonly staged: Counts
  /** Rows that the run could not stage, and rows in quarantine, by staged table and by entity. */
  readonly rejected: Counts
  readonly ods: Counts
  readonly exported: Counts
  readonly warehouse: Counts
  readonly controls: Readonly<
    Record<string, { readonly source: number; readonly staged: number; readonly equal: boolean }>
  >
  /** Cells that repairs changed, by entity. */
  readonly corrections: Counts
}

/** Reads the summary behind `run`. Controls are those of the last load of each table. */
export async function summarize(tx: Transaction, project: Project, run: bigint): Promise<Summary> {
  const tables = project.sources.flatMap(source => source.tables)
  const entities = project.entities.map(entity => entity.name)
  const staged = await counts(
    tx,
    tables.map(table => [stagedName(table), stagingNames(table).image] as const),
  )
  const warehouse = [
    ...project.dimensions.map(it => [`dim_${it.name}`, ident('dw', `dim_${it.name}`)] as const),
    ...project.facts.map(it => [`fact_${it.name}`, ident('dw', `fact_${it.name}`)] as const),
    ...project.summaries.map(it => [it.name, ident('mart', it.name)] as const),
  ]
  return {
    staged,
    rejected: { ...(await rejectedRows(tx, run)), ...(await openQuarantine(tx)) },
    ods: await counts(
      tx,
      entities.map(name => [name, ident('ods', name)] as const),
    ),
    exported: await counts(
      tx,
      project.exports.map(it => [it.name, ident('export', it.name)] as const),
    ),
    warehouse: await counts(tx, warehouse),
    controls: await rowControls(tx),
    corrections: await countBy(tx, sql`select entity as name, count(*) as n from naru.correction group by entity`),
  }
}

async function counts(tx: Transaction, tables: readonly (readonly [string, Ident])[]): Promise<Counts> {
  const found: Record<string, number> = {}
  for (const [name, table] of tables) {
    if (!(await tx.exists(table))) continue
    const [row] = await tx.rows(sql`select count(*) as n from ${table}`)
    found[name] = Number(row?.['n'])
  }
  return found
}

async function countBy(tx: Transaction, statement: ReturnType<typeof sql>): Promise<Counts> {
  const rows = await tx.rows(statement)
  return Object.fromEntries(rows.map(row => [row['name'] as string, Number(row['n'])]))
}

/** Rejects of the loads that the run published. */
function rejectedRows(tx: Transaction, run: bigint): Promise<Counts> {
  return countBy(
    tx,
    sql`select source || '_' || "table" as name, sum(rows_rejected) as n from naru.load
        where state = 'published' and published_run = ${run}
        group by 1 having sum(rows_rejected) > 0 order by 1`,
  )
}

function openQuarantine(tx: Transaction): Promise<Counts> {
  return countBy(
    tx,
    sql`select entity as name, count(*) as n from naru.quarantine where state <> 'resolved' group by entity order by 1`,
  )
}

async function rowControls(tx: Transaction): Promise<Summary['controls']> {
  const rows = await tx.rows(sql`
    select c.source || '_' || c."table" as name, c.source_value, c.staged_value, a.equal
    from naru.control_total c
    join (select load, coalesce(bool_and(equal), false) as equal from naru.control_total group by load) a on a.load = c.load
    join (select source, "table", max(load) as load from naru.load where state = 'published' group by 1, 2) l
      on l.load = c.load
    where c.measure = 'rows' and c."column" = '' and c.unit is null order by 1`)
  return Object.fromEntries(
    rows.map(row => [
      row['name'] as string,
      { source: Number(row['source_value']), staged: Number(row['staged_value']), equal: row['equal'] === true },
    ]),
  )
}
