import type { DialectFunction } from '../../core/dialect-functions.ts'
import { joinSql, sql, type Sql } from '../../core/sql.ts'

/** SQL of one dialect function. */
export function duckdbCall(name: DialectFunction, args: readonly Sql[]): Sql {
  return functions[name](args[0] as Sql, args[1] as Sql, args)
}

const functions: { readonly [N in DialectFunction]: (a: Sql, b: Sql, all: readonly Sql[]) => Sql } = {
  asText: value => sql`cast(${value} as varchar)`,
  toJson: value => sql`cast(to_json(${value}) as varchar)`,
  jsonField: (json, field) => sql`json_extract_string(${json}, '$."' || ${field} || '"')`,
  byteLength: text => sql`strlen(${text})`,
  hexText: bytes => sql`lower(hex(${bytes}))`,
  sha256: text => sql`sha256(${text})`,
  hashOf: (_a, _b, all) => sql`hash(${joinSql(all)})`,
  hashOfRow: alias => sql`hash(${alias})`,
  hexNumber: digits => sql`cast('0x' || ${digits} as bigint)`,
  micros: time => sql`epoch_us(${time})`,
  timestampOf: micros => sql`make_timestamp(${micros})`,
  wide: value => sql`cast(${value} as hugeint)`,
  same: (a, b) => sql`${a} is not distinct from ${b}`,
  sameAll: (_a, _b, all) =>
    joinSql(
      all.flatMap((a, i) => (i % 2 === 0 ? [sql`${a} is not distinct from ${all[i + 1] as Sql}`] : [])),
      ' and ',
    ),
  distinctAbout: value => sql`approx_count_distinct(${value})`,
  wordsOf: text =>
    sql`unnest(regexp_extract_all(regexp_replace(upper(strip_accents(${text})), ${"['’`]"}, '', 'g'), ${'[\\p{L}\\p{M}\\p{N}]+'}))`,
  hasDigit: text => sql`regexp_matches(${text}, ${'\\p{N}'})`,
  typos: (a, b) => sql`damerau_levenshtein(${a}, ${b})`,
}
