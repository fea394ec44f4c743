import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../../core/sql.ts'
import type { CatalogColumn, CatalogTable } from './catalog.ts'

/** The table in a FROM clause. All columns are named through the alias: an output column never hides them. */
export function fromTable({ schema, relation, query }: Pick<CatalogTable, 'schema' | 'relation' | 'query'>): Sql {
  return sql`${query ?? ident(schema, relation)} as t`
}

export function columnOf({ name }: { readonly name: string }): Ident {
  return ident('t', name)
}

/** The value as it is read. Text of an old charset that has letters which UTF-8 has not comes as no text, so that its row is set aside. */
export function readValue(column: CatalogColumn): Sql {
  const value = columnOf(column)
  switch (column.as) {
    case 'value':
    case 'utf8':
      return sql`${value}`
    case 'cast':
      return sql`cast(${value} as char character set utf8mb4)`
    case 'other': {
      const text = sql`convert(${value} using utf8mb4)`
      const back = sql`cast(convert(${text} using ${charsetOf(column)}) as binary)`
      return sql`if(${back} = cast(${value} as binary), cast(${text} as binary),
        concat(0xff, cast(${value} as binary)))`
    }
  }
}

/** The value as text in UTF-8, for figures. */
export function textValue(column: CatalogColumn): Sql {
  const value = columnOf(column)
  if (column.as === 'utf8' && column.type.kind !== 'enum') return sql`${value}`
  return column.as === 'cast' || column.charset === null
    ? sql`cast(${value} as char character set utf8mb4)`
    : sql`convert(${value} using utf8mb4)`
}

/** The value as a number: without the zeros of ZEROFILL, a bit and a year as numbers. */
export function numberValue(column: CatalogColumn): Sql {
  const value = columnOf(column)
  const isPlain = !/^(bit|year)|zerofill/.test(column.nativeType)
  if (!isPlain) return sql`(${value} + 0)`
  // A column that is written may keep more digits than the values that went into it.
  const own = /^decimal\(\d+,(\d+)\)/.exec(column.nativeType)?.[1]
  const isSame = column.type.kind !== 'decimal' || own === undefined || Number(own) === column.type.scale
  return isSame ? sql`${value}` : sql`cast(${value} as decimal(65, ${(column.type as { scale: number }).scale}))`
}

/** Text of a key column from which `keyLiteral` makes the same value again. */
export function keyText(column: CatalogColumn): Sql {
  const value = columnOf(column)
  switch (keyKind(column)) {
    case 'number':
      return sql`${value} + 0`
    case 'float':
      return sql`${value} + 0e0`
    case 'hex':
      return sql`hex(${value})`
    case 'text':
      return sql`convert(${value} using utf8mb4)`
    case 'time':
    case 'cast':
      return sql`cast(${value} as char)`
  }
}

/** A value for a comparison with the column, of the column's own type, charset and collation, so that its index is used. */
export function keyLiteral(column: CatalogColumn, text: string): Sql {
  switch (keyKind(column)) {
    case 'number':
    case 'float':
      if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text))
        throw fail('INTERNAL', { what: `"${text}" is no bound of a number` })
      return rawSql(text)
    case 'hex':
      if (!/^[0-9A-F]*$/i.test(text)) throw fail('INTERNAL', { what: `"${text}" is no bound of bytes` })
      return column.charset === null ? rawSql(`x'${text}'`) : collated(column, rawSql(`_${column.charset} x'${text}'`))
    case 'text':
      return collated(column, sql`convert(${text} using ${charsetOf(column)})`)
    case 'time':
      return sql`cast(${text} as ${rawSql(column.type.kind === 'timestamp' ? 'datetime(6)' : column.nativeName === 'date' ? 'date' : 'time(6)')})`
    case 'cast':
      return sql`${text}`
  }
}

/** A value that a person gave, for a comparison with the column. */
export function givenLiteral(column: CatalogColumn, text: string): Sql {
  return keyKind(column) === 'hex' ? sql`${text}` : keyLiteral(column, text)
}

/** Enums and sets are in the order of their numbers, and so are compared by them. */
function keyKind(column: CatalogColumn): 'number' | 'float' | 'time' | 'text' | 'hex' | 'cast' {
  if (column.nativeName === 'enum' || column.nativeName === 'set' || column.nativeName === 'decimal') return 'number'
  switch (column.type.kind) {
    case 'bool':
    case 'int':
    case 'decimal':
      return 'number'
    case 'float':
      return 'float'
    case 'date':
    case 'time':
    case 'timestamp':
      return 'time'
    case 'bytes':
      return 'hex'
    default:
      return column.as === 'utf8' ? 'text' : column.as === 'other' ? 'hex' : 'cast'
  }
}

function collated(column: CatalogColumn, value: Sql): Sql {
  return sql`${value} collate ${nameOf(column.collation)}`
}

function charsetOf(column: CatalogColumn): Sql {
  return nameOf(column.charset)
}

/** Names of charsets and collations are words, and are not quoted. */
function nameOf(name: string | null): Sql {
  if (name === null || !/^\w+$/.test(name)) throw fail('INTERNAL', { what: `"${name}" is no charset` })
  return rawSql(name)
}

/** The columns of these names, in their order. */
export function columnsOf(table: CatalogTable, names: readonly string[], source: string): readonly CatalogColumn[] {
  return names.map(name => {
    const found = table.columns.find(column => column.name === name)
    if (found === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: table.name, column: name })
    return found
  })
}

/** `a, b` of some columns. */
export function listOf(columns: readonly CatalogColumn[], of: (column: CatalogColumn) => Sql | Ident): Sql {
  return joinSql(columns.map(of))
}
