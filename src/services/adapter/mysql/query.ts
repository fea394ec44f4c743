import { rawSql, sql } from '../../../core/sql.ts'
import { resultColumn, WIRE, type ResultColumn } from '../../../systems/mysql/protocol.ts'
import { readAs } from '../../../systems/mysql/types.ts'
import type { CatalogColumn, CatalogTable } from './catalog.ts'
import type { Connection } from './connection.ts'

/** Describes a SELECT as a table, by what the server says of its columns when it prepares it. Labels of an enum are not among that: it is text. */
export async function describeQuery(
  connection: Connection,
  name: string,
  query: string,
  signal: AbortSignal,
): Promise<CatalogTable> {
  // A comment at its end ends with its line.
  const table = sql`(${rawSql(query)}\n)`
  const definitions = await connection.columnsOf(sql`select * from ${table} as t`, signal)
  const charsets = new Map(
    (
      await connection.query(
        sql`select id, character_set_name, collation_name from information_schema.collations`,
        signal,
      )
    ).map(([id, charset, collation]) => [Number(id), { charset: charset ?? null, collation: collation ?? null }]),
  )
  const columns = definitions.map(body => {
    const column = resultColumn(body)
    return columnOf(column, charsets.get(column.charset) ?? { charset: null, collation: null })
  })
  return {
    schema: '',
    relation: '',
    name,
    engine: null,
    isVersioned: false,
    rowsEstimate: null,
    key: [],
    columns,
    query: table,
  }
}

const BINARY = 'binary'
const NOT_NULL = 0x1

function columnOf(
  column: ResultColumn,
  text: { readonly charset: string | null; readonly collation: string | null },
): CatalogColumn {
  const nativeName = nativeNameOf(column, text.charset === BINARY)
  const precision = column.length - (column.decimals > 0 ? 1 : 0) - (column.unsigned ? 0 : 1)
  const nativeType = fullType(nativeName, column, precision)
  const isText = nativeName === 'longtext'
  const { type, as } = readAs({
    name: nativeName,
    full: nativeType,
    precision,
    scale: column.decimals,
    charset: isText ? text.charset : null,
    isJson: false,
  })
  return {
    name: column.name,
    type,
    as,
    nativeName,
    nativeType,
    nullable: (column.flags & NOT_NULL) === 0,
    personal: false,
    charset: isText ? text.charset : null,
    collation: isText ? text.collation : null,
    readable: true,
    generated: false,
    timeDigits: column.decimals,
  }
}

function fullType(name: string, { length, decimals, unsigned }: ResultColumn, precision: number): string {
  if (name === 'bit') return `bit(${length})`
  if (name === 'decimal') return `decimal(${precision},${decimals})`
  return unsigned ? `${name} unsigned` : name
}

const names: Readonly<Record<number, string>> = {
  [WIRE.tiny]: 'tinyint',
  [WIRE.short]: 'smallint',
  [WIRE.int24]: 'mediumint',
  [WIRE.long]: 'int',
  [WIRE.longlong]: 'bigint',
  [WIRE.float]: 'float',
  [WIRE.double]: 'double',
  [WIRE.decimal]: 'decimal',
  [WIRE.newDecimal]: 'decimal',
  [WIRE.year]: 'year',
  [WIRE.bit]: 'bit',
  [WIRE.date]: 'date',
  [WIRE.time]: 'time',
  [WIRE.datetime]: 'datetime',
  [WIRE.timestamp]: 'timestamp',
  [WIRE.json]: 'json',
  [WIRE.geometry]: 'geometry',
}

function nativeNameOf({ type }: ResultColumn, isBinary: boolean): string {
  return names[type] ?? (isBinary ? 'longblob' : 'longtext')
}
