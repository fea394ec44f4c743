import { compileExpr, columnIn } from '../../core/expr.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { EntityDef, ExportDef } from '../../config/model.ts'
import {
  changedBy,
  filled,
  holdsStill,
  isThere,
  rowsChanged,
  unchanged,
  type ChangeSet,
  type StageContext,
} from '../../run/context.ts'
import { findDifferences, writeDifferences, type Comparison } from '../../run/differences.ts'
import { columnList, countRows, dropRelation, equalKeys } from '../../run/tables.ts'
import { maskedColumn, refuseMaskedKeys, type MaskSecrets } from './masks.ts'
import { resolveSecrets, secretsChanged } from './mask-secrets.ts'

/** What one export is made from. */
export interface ExportInput {
  readonly definition: ExportDef
  readonly entity: EntityDef
  readonly changes: ChangeSet
  /** The definition is not the one that the export was made with: everything is made anew. */
  readonly rebuild?: boolean
}

/**
 * Lets rows of the ODS out: without masks and filter as a view, otherwise as a table of masked rows. Hands on only what
 * changed on the outside: a change in a dropped column stops here, a row that no longer passes the filter leaves.
 */
export async function exportRows(ctx: StageContext, input: ExportInput): Promise<ChangeSet> {
  refuseMaskedKeys(input.definition)
  const plain = input.definition.masks.length === 0 && input.definition.where === null
  const changes = plain ? await exposeView(ctx, input) : await exportTable(ctx, input)
  ctx.env.crash('export.apply.after')
  return changes
}

async function exposeView(ctx: StageContext, input: ExportInput): Promise<ChangeSet> {
  const { tx } = ctx
  const { definition, changes } = input
  const view = exportTableOf(definition)
  const renew = input.rebuild === true || changes.scope === 'all' || !(await isThere(ctx, view))
  if (!renew) return { ...changes, table: view }
  await dropRelation(ctx.tx, view)
  const columns = columnList(definition.columns.map(column => column.name))
  await tx.execute(sql`create view ${view} as select ${columns} from ${ident('ods', input.entity.name)}`)
  return filled(view, await countRows(tx, view))
}

async function exportTable(ctx: StageContext, input: ExportInput): Promise<ChangeSet> {
  const { definition, changes } = input
  const table = exportTableOf(definition)
  const secrets = resolveSecrets(ctx, definition)
  // Secrets are those of the process: they do not change within it.
  const same = `secrets of ${definition.name}`
  const resecret = !(await holdsStill(ctx, same, async () => !(await secretsChanged(ctx, definition, secrets))))
  if (resecret && (await ctx.tx.exists(table))) {
    const text = `the secret of the masks of export ${definition.name} changed: every token is made anew`
    ctx.emit({ kind: 'note', level: 'warn', text, code: 'MASK_SECRET_CHANGED' })
  }
  if (resecret || input.rebuild === true || changes.scope === 'all' || !(await isThere(ctx, table))) {
    await dropRelation(ctx.tx, table)
    await ctx.tx.execute(sql`
      create table ${table} as select ${maskedRow(ctx, definition, secrets)}, cast(${ctx.run.id} as bigint) as "_run"
      from ${ident('ods', input.entity.name)} e where ${passes(ctx, definition)}`)
    return filled(table, await countRows(ctx.tx, table))
  }
  if (changes.keys === null) return unchanged(table)
  return exportChanged(ctx, input, secrets, { keys: changes.keys, rows: changes.rows })
}

async function exportChanged(
  ctx: StageContext,
  { definition, entity }: ExportInput,
  secrets: MaskSecrets,
  { keys, rows }: { readonly keys: Ident; readonly rows: Ident | undefined },
): Promise<ChangeSet> {
  const { tx } = ctx
  const temp = (what: string): Ident => ident('temp', `export_${definition.name}_${what}`)
  const comparison: Comparison = {
    target: exportTableOf(definition),
    next: temp('next'),
    within: temp('touched'),
    key: definition.key,
    columns: definition.columns.map(column => column.name),
    into: temp('changed'),
    was: temp('was'),
  }
  const maskedKey = joinSql(definition.key.map(name => maskedAs(ctx, definition, secrets, name)))
  await tx.replaceTemp(temp('touched'), sql`select ${maskedKey} from ${keys} e`)
  await tx.replaceTemp(
    temp('next'),
    sql`select ${maskedRow(ctx, definition, secrets)}
    from ${rows ?? ident('ods', entity.name)} e
    where exists (select 1 from ${keys} k where ${equalKeys('e', 'k', entity.key)}) and ${passes(ctx, definition)}`,
  )
  const counts = await findDifferences(tx, comparison)
  if (rowsChanged(counts) > 0) await writeDifferences(tx, comparison, ctx.run.id)
  return changedBy(comparison.target, comparison.into, counts)
}

function exportTableOf(definition: ExportDef): Ident {
  return ident('export', definition.name)
}

function maskedRow(ctx: StageContext, definition: ExportDef, secrets: MaskSecrets): Sql {
  return joinSql(definition.columns.map(column => maskedAs(ctx, definition, secrets, column.name)))
}

function maskedAs(ctx: StageContext, definition: ExportDef, secrets: MaskSecrets, column: string): Sql {
  return sql`${maskedColumn(definition, column, { alias: 'e', dialect: ctx.tx.dialect, secrets })} as ${ident(column)}`
}

/** The filter sees the values before masking: a row may leave because of a column that does not. */
function passes(ctx: StageContext, definition: ExportDef): Sql {
  if (definition.where === null) return sql`true`
  return sql`(${compileExpr(definition.where, { dialect: ctx.tx.dialect, column: columnIn('e') })})`
}
