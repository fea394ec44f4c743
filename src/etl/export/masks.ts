import { asText, sha256Of, wide } from '../../core/dialect-functions.ts'
import { fail } from '../../core/errors.ts'
import type { Secret } from '../../core/secret.ts'
import { ident, rawSql, sql, type Dialect, type Sql } from '../../core/sql.ts'
import type { ColumnType } from '../../core/types.ts'
import type { ExportDef, MaskDef } from '../../config/model.ts'

/** The secret of a hashed column, by the column's name. */
export type MaskSecrets = ReadonlyMap<string, Secret>

/** What an export shows of column `column` of relation `alias`: the value, or what its mask leaves of it. NULL stays NULL. */
export function maskedColumn(
  definition: ExportDef,
  column: string,
  at: { readonly alias: string; readonly dialect: Dialect; readonly secrets: MaskSecrets },
): Sql {
  const value = sql`${ident(at.alias, column)}`
  const mask = maskOf(definition, column)
  if (mask === null) return value
  switch (mask.kind) {
    case 'drop':
      throw fail('INTERNAL', { what: `the dropped column ${column} is among the columns of export ${definition.name}` })
    case 'hash':
      return token(value, at.secrets.get(column) as Secret)
    case 'redact':
      return sql`case when ${value} is not null then ${mask.text} end`
    case 'keepLast':
      return keepLast(value, mask.count)
    case 'bucket':
      return bucket(value, mask.width, typeOf(definition, column), at.dialect)
  }
}

/**
 * M54: the same value and the same secret give the same token in every table, so that joins still work. The secret goes
 * in twice, as in HMAC: appending to a value cannot extend its token.
 */
export function token(value: Sql, secret: Secret): Sql {
  return sha256Of(sql`${secret} || ${sha256Of(sql`${secret} || ${asText(value)}`)}`)
}

// A value that is no longer than what would be kept is hidden whole; the stars are always four, to hide its length too.
function keepLast(value: Sql, count: number): Sql {
  const text = sql`${asText(value)}`
  const kept =
    count === 0 ? sql`''` : sql`case when length(${text}) > ${count} then right(${text}, ${count}) else '' end`
  return sql`case when ${value} is not null then '****' || ${kept} end`
}

function bucket(value: Sql, width: number, type: ColumnType, dialect: Dialect): Sql {
  const sqlType = rawSql(dialect.type(type))
  // Through double only where the value is one already: the others stay exact.
  if (type.kind === 'float') return sql`cast(floor(${value} / ${width}) * ${width} as ${sqlType})`
  const exact = type.kind === 'int' ? wide(value) : value
  const over = sql`((${exact} % ${width}) + ${width}) % ${width}`
  return sql`cast(${exact} - ${over} as ${sqlType})`
}

/** Refuses masks that would make rows share a key. A keyed hash keeps keys apart, and the change sets carry its tokens. */
export function refuseMaskedKeys(definition: ExportDef): void {
  for (const { column, mask } of definition.masks) {
    if (mask.kind === 'hash' || !definition.key.includes(column)) continue
    throw fail('EXPORT_KEY_MASKED', { export: definition.name, column, mask: mask.kind })
  }
}

function maskOf(definition: ExportDef, column: string): MaskDef | null {
  return definition.masks.find(mask => mask.column === column)?.mask ?? null
}

function typeOf(definition: ExportDef, column: string): ColumnType {
  const found = definition.columns.find(candidate => candidate.name === column)
  if (found === undefined) throw fail('INTERNAL', { what: `export ${definition.name} masks no column ${column}` })
  return found.type
}
