import { fail } from '../../core/errors.ts'
import { joinSql, sql, type Sql } from '../../core/sql.ts'
import type { EntityDef, Project } from '../../config/model.ts'
import { mapColumns, type MappedColumn } from '../../run/mapping.ts'
import type { Row, Transaction } from '../../services/engine/contract.ts'

/** Which rows of quarantine; a part that is absent does not filter. */
export interface QuarantineFilter {
  readonly entity?: string | undefined
  readonly contributor?: string | undefined
  readonly key?: string | undefined
  /** Rows that broke this rule, among others. */
  readonly rule?: string | undefined
  readonly state?: 'open' | 'recycle' | 'resolved' | undefined
}

/** A row in quarantine as people see it. */
export interface QuarantineRow {
  readonly entity: string
  readonly contributor: string
  readonly key: string
  readonly rules: readonly string[]
  readonly state: 'open' | 'recycle' | 'resolved'
  /** An older version of the row is in use. */
  readonly held: boolean
  readonly run: bigint
  readonly load: bigint
  /** The texts that did not fit, by control. */
  readonly lost: Readonly<Record<string, string>>
  /** The staged row, every value as text, personal ones masked. */
  readonly row: Readonly<Record<string, string | null>>
  /** How it ended, and in which run. */
  readonly resolution: 'passed' | 'gone' | null
  readonly resolvedRun: bigint | null
}

/** The rows that match, by entity, contributor and key; at most `limit`. */
export async function listQuarantine(
  tx: Pick<Transaction, 'rows'>,
  filter: QuarantineFilter,
  limit: number,
): Promise<readonly QuarantineRow[]> {
  const rows = await tx.rows(sql`
    select * from naru.quarantine where ${conditionOf(filter)}
    order by entity, contributor, key, run, state limit ${limit}`)
  return rows.map(quarantineRow)
}

/** Everything known about one key: the open row first, then how earlier ones ended. */
export async function showQuarantine(
  tx: Pick<Transaction, 'rows'>,
  one: { readonly entity: string; readonly contributor: string; readonly key: string },
): Promise<readonly QuarantineRow[]> {
  const rows = await tx.rows(sql`
    select * from naru.quarantine where ${conditionOf(one)}
    order by case when state = 'resolved' then 1 else 0 end, run desc limit 100`)
  return rows.map(quarantineRow)
}

/** Marks open rows for another try in the next run; gives their number. */
export async function recycle(tx: Transaction, filter: Omit<QuarantineFilter, 'state'>): Promise<number> {
  return tx.execute(sql`
    update naru.quarantine set state = 'recycle' where ${conditionOf(filter)} and state = 'open'`)
}

/**
 * Sets the value of one cell of a row in quarantine and marks the row for another try. It holds for this version of the
 * row; when the source sends another, that one counts. Throws `QUARANTINE_NONE`, `QUARANTINE_FIX`.
 */
export async function fix(
  tx: Transaction,
  project: Project,
  cell: {
    readonly entity: string
    readonly contributor: string
    readonly key: string
    readonly column: string
    readonly value: string | null
  },
): Promise<void> {
  const { entity, contributor, key, column, value } = cell
  const [open] = await tx.rows(sql`
    select "load" from naru.quarantine
    where ${conditionOf({ entity, contributor, key })} and state in ('open', 'recycle')`)
  if (open === undefined) throw fail('QUARANTINE_NONE', { entity, contributor, key })
  await refuseUnfit(tx, project, cell)
  await tx.execute(sql`
    delete from naru.quarantine_fix
    where entity = ${entity} and contributor = ${contributor} and key = ${key} and "column" = ${column}`)
  await tx.execute(sql`
    insert into naru.quarantine_fix values
    (${entity}, ${contributor}, ${key}, ${open['load'] as bigint}, ${column}, ${value})`)
  await recycle(tx, { entity, contributor, key })
}

async function refuseUnfit(
  tx: Transaction,
  project: Project,
  cell: {
    readonly entity: string
    readonly contributor: string
    readonly column: string
    readonly value: string | null
  },
): Promise<void> {
  const refuse = (problem: string): never => {
    throw fail('QUARANTINE_FIX', { entity: cell.entity, column: cell.column, problem })
  }
  const entity = project.entities.find(e => e.name === cell.entity)
  const mapped = entity === undefined ? undefined : columnOf(tx, project, entity, cell)
  if (entity === undefined || mapped === undefined) return refuse('there is no such column')
  if (entity.key.includes(cell.column)) refuse('it is part of the key')
  // Control tables hold no personal values, and the fix would be one.
  if (mapped.personal) refuse('it is personal')
  if (cell.value === null) return
  const cast = tx.dialect.tryCast(sql`cast(${cell.value} as varchar)`, mapped.column.type)
  const [row] = await tx.rows(sql`select ${cast} is not null as fits`)
  if (row?.['fits'] !== true) refuse('the value does not fit its type')
}

function columnOf(
  tx: Transaction,
  project: Project,
  entity: EntityDef,
  cell: { readonly contributor: string; readonly column: string },
): MappedColumn | undefined {
  const contribution = entity.contributions.find(c => c.as === cell.contributor)
  const source = project.sources.find(s => s.name === contribution?.source)
  const table = source?.tables.find(t => t.name === contribution?.table)
  if (contribution === undefined || table === undefined) return undefined
  const columns = mapColumns(project, tx.dialect, { entity, contribution, table }, 's')
  return columns.find(c => c.column.name === cell.column)
}

function conditionOf(filter: QuarantineFilter): Sql {
  const parts = [sql`true`]
  if (filter.entity !== undefined) parts.push(sql`entity = ${filter.entity}`)
  if (filter.contributor !== undefined) parts.push(sql`contributor = ${filter.contributor}`)
  if (filter.key !== undefined) parts.push(sql`key = ${filter.key}`)
  if (filter.rule !== undefined) parts.push(sql`${filter.rule} = any(rules)`)
  if (filter.state !== undefined) parts.push(sql`state = ${filter.state}`)
  return joinSql(parts, ' and ')
}

function quarantineRow(row: Row): QuarantineRow {
  return {
    entity: row['entity'] as string,
    contributor: row['contributor'] as string,
    key: row['key'] as string,
    rules: row['rules'] as readonly string[],
    state: row['state'] as QuarantineRow['state'],
    held: row['held'] as boolean,
    run: row['run'] as bigint,
    load: row['load'] as bigint,
    lost: row['lost'] === null ? {} : (JSON.parse(row['lost'] as string) as Record<string, string>),
    row: JSON.parse(row['row'] as string) as Record<string, string | null>,
    resolution: row['resolution'] as QuarantineRow['resolution'],
    resolvedRun: row['resolved_run'] as bigint | null,
  }
}
