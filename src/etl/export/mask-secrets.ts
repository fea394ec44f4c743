import { fail } from '../../core/errors.ts'
import type { Secret } from '../../core/secret.ts'
import { sql, type Sql } from '../../core/sql.ts'
import type { ExportDef } from '../../config/model.ts'
import type { StageContext } from '../../run/context.ts'
import { token, type MaskSecrets } from './masks.ts'

/** What the export stage remembers. */
export const controlTables: readonly Sql[] = [
  // The token of a fixed word under the secret of each hashed column: tells that a secret was changed, and nothing else.
  sql`create table if not exists naru.mask_secret (export varchar, "column" varchar, token varchar)`,
]

/** Resolves the secrets of an export. They live in memory and in the text of the statements that need them, nowhere else. */
export function resolveSecrets(ctx: StageContext, definition: ExportDef): MaskSecrets {
  const secrets = new Map<string, Secret>()
  for (const { column, mask } of definition.masks) {
    if (mask.kind !== 'hash') continue
    const secret = ctx.secret(mask.secret, `the mask of column "${column}" of export "${definition.name}"`)
    if (secret.reveal() === '') {
      throw fail('MASK_SECRET_EMPTY', { export: definition.name, column, name: mask.secret.name })
    }
    secrets.set(column, secret)
  }
  return secrets
}

/**
 * True when a secret is not the one that the exported rows were made with: then old and new tokens would stand side by
 * side and no longer join, and the export has to be made anew. Remembers the secrets of now.
 */
export async function secretsChanged(ctx: StageContext, definition: ExportDef, secrets: MaskSecrets): Promise<boolean> {
  const { tx } = ctx
  let changed = false
  for (const [column, secret] of secrets) {
    const same = sql`export = ${definition.name} and "column" = ${column}`
    const now = token(sql`${'naru'}`, secret)
    const [known] = await tx.rows(sql`select token = ${now} as same from naru.mask_secret where ${same}`)
    if (known?.['same'] === true) continue
    changed = true
    await tx.execute(sql`delete from naru.mask_secret where ${same}`)
    await tx.execute(sql`insert into naru.mask_secret values (${definition.name}, ${column}, ${now})`)
  }
  return changed
}
