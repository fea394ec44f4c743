import type { DialectFunction } from '../../../core/dialect-functions.ts'
import { joinSql, sql, type Sql } from '../../../core/sql.ts'
import { translatePattern } from './pattern.ts'

/** SQL of one dialect function. */
export function postgresCall(name: DialectFunction, args: readonly Sql[]): Sql {
  return functions[name](args[0] as Sql, args[1] as Sql, args)
}

const marks = translatePattern('\\p{M}+').text
const wordCharacters = translatePattern('[\\p{L}\\p{M}\\p{N}]+').text
const number = translatePattern('\\p{N}').text

const functions: { readonly [N in DialectFunction]: (a: Sql, b: Sql, all: readonly Sql[]) => Sql } = {
  asText: value => sql`naru_sql.text(${value})`,
  toJson: value => sql`naru_sql.json(${value})`,
  // A key with NUL is in no table of the server, so whatever stands for the character finds nothing.
  jsonField: (json, field) =>
    sql`(cast(regexp_replace(${json}, ${String.raw`(?<!\\)((?:\\\\)*)\\u0000`}, ${String.raw`\1\\ufffd`}, 'g') as json) ->> ${field})`,
  byteLength: text => sql`octet_length(${text})`,
  hexText: bytes => sql`encode(${bytes}, 'hex')`,
  sha256: text => sql`encode(sha256(convert_to(${text}, 'UTF8')), 'hex')`,
  hashOf: (_a, _b, all) => sql`hash_record_extended(row(${joinSql(all)}), 0)`,
  hashOfRow: alias => sql`hash_record_extended(${alias}, 0)`,
  hexNumber: digits => sql`cast(cast('x' || lpad(${digits}, 16, '0') as bit(64)) as bigint)`,
  micros: time => sql`naru_sql.micros(${time})`,
  timestampOf: micros => sql`naru_sql.timestamp_of(${micros})`,
  wide: value => sql`cast(${value} as numeric)`,
  // An equality of arrays takes NULL for equal to NULL, and unlike IS NOT DISTINCT FROM it can be hashed.
  same: (a, b) => sql`array[${a}] = array[${b}]`,
  sameAll: (_a, _b, all) => {
    const side = (of: number): Sql => joinSql(all.filter((_, i) => i % 2 === of).map(it => sql`cast(${it} as text)`))
    return sql`array[${side(0)}] = array[${side(1)}]`
  },
  distinctAbout: value => sql`count(distinct ${value})`,
  wordsOf: text =>
    sql`(regexp_matches(translate(upper(replace(normalize(regexp_replace(normalize(${text}, nfd) collate "C", ${marks}, '', 'g'), nfc), 'ß', 'ẞ')
      collate "pg_c_utf8") collate "C", ${"'’`"}, ''), ${wordCharacters}, 'g'))[1] collate "default"`,
  hasDigit: text => sql`(${text} collate "C" ~ ${number})`,
  typos: (a, b) => sql`naru_sql.typos(${a}, ${b})`,
}
