import { ident, joinSql, rawSql, sql, type Ident } from '../core/sql.ts'
import type { ColumnDef, ColumnType } from '../core/types.ts'
import type { DimensionDef, ExportDef, FactDef, Project } from '../config/model.ts'
import type { ChangeSet, StageContext } from '../run/context.ts'
import type { Engine, Row } from '../services/engine/contract.ts'
import { never, openTestEngine, stageContext } from '../testing/engine.ts'
import { controlTables } from './control-tables.ts'

export const text: ColumnType = { kind: 'text' }
export const int: ColumnType = { kind: 'int', bits: 32 }
export const timestamp: ColumnType = { kind: 'timestamp', zoned: false }

export function column(name: string, type: ColumnType = text): ColumnDef {
  return { name, type, nullable: true, personal: false }
}

/** An engine with the control tables of the warehouse, and the export tables that a test fills. */
export interface Star {
  readonly engine: Engine
  /** One publishing transaction of run `run`, which sees the time `at` (days after 2001-01-01 unless given in micros). */
  publish<T>(at: { readonly run: number; readonly day: number }, body: (ctx: StageContext) => Promise<T>): Promise<T>
  query(text: string): Promise<readonly Row[]>
}

export async function openStar(
  dimensions: readonly DimensionDef[] = [],
  facts: readonly FactDef[] = [],
  open: () => Promise<Engine> = openTestEngine,
): Promise<Star> {
  const engine = await open()
  await engine.transaction(never, async tx => {
    for (const statement of controlTables) await tx.execute(statement)
  })
  const project = (ctx: StageContext): Project => ({ ...ctx.project, dimensions, facts })
  return {
    engine,
    publish: ({ run, day }, body) =>
      engine.transaction(never, tx => {
        const ctx = stageContext(tx, { run: { id: BigInt(run), asOfMicros: microsOfDay(day) } })
        return body({ ...ctx, project: project(ctx) })
      }),
    query: text => engine.transaction(never, tx => tx.rows(rawSql(text))),
  }
}

export function microsOfDay(day: number): bigint {
  return 978_307_200_000_000n + BigInt(day) * 86_400_000_000n
}

/** `2001-01-01` and so many days. */
export function dayText(day: number): string {
  return new Date(Number(microsOfDay(day) / 1000n)).toISOString().slice(0, 10)
}

/** One exported row; `null` instead of the values is a delete. */
export interface ExportedRow {
  readonly key: readonly (string | number)[]
  readonly values: readonly (string | number | null)[] | null
}

/** Puts rows into the export's table and gives the change set that the export stage would hand on. */
export async function changeExport(
  ctx: StageContext,
  definition: ExportDef,
  rows: readonly ExportedRow[],
): Promise<ChangeSet> {
  const table = ident('export', definition.name)
  const typed = (columns: readonly ColumnDef[]) =>
    joinSql(columns.map(({ name, type }) => sql`${ident(name)} ${rawSql(ctx.tx.dialect.type(type))}`))
  const keyColumns = definition.key.map(name => definition.columns.find(other => other.name === name) as ColumnDef)
  await ctx.tx.execute(sql`create table if not exists ${table} (${typed(definition.columns)})`)
  const [before] = await ctx.tx.rows(sql`select count(*) as n from ${table}`)
  const keys = ident('temp', `changes_${definition.name}`)
  await ctx.tx.execute(sql`drop table if exists ${keys}`)
  await ctx.tx.execute(sql`create temporary table ${keys} (${typed(keyColumns)}, "_op" varchar)`)
  for (const row of rows) await changeRow(ctx, definition, row, { table, keys })
  const counts = { inserted: rows.length, updated: 0, deleted: 0 }
  if (before?.['n'] === 0n) return { table, scope: 'all', keys: null, ...counts }
  return { table, scope: 'delta', keys: rows.length === 0 ? null : keys, ...counts }
}

async function changeRow(
  ctx: StageContext,
  definition: ExportDef,
  row: ExportedRow,
  to: { readonly table: Ident; readonly keys: Ident },
): Promise<void> {
  const same = definition.key.map((name, i) => sql`${ident(name)} = ${row.key[i] as string}`)
  const deleted = await ctx.tx.execute(sql`delete from ${to.table} where ${joinSql(same, ' and ')}`)
  const literal = (value: string | number | null) => sql`${value}`
  if (row.values !== null) {
    const values = [...row.key, ...row.values].map(literal)
    await ctx.tx.execute(sql`insert into ${to.table} values (${joinSql(values)})`)
  }
  const op = row.values === null ? 'd' : deleted > 0 ? 'u' : 'i'
  await ctx.tx.execute(sql`insert into ${to.keys} values (${joinSql(row.key.map(literal))}, ${op})`)
}
