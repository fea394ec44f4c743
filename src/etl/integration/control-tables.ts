import { sql, type Sql } from '../../core/sql.ts'

/** What integration remembers: together they answer why a golden value is what it is (M47, M49, B50). */
export const controlTables: readonly Sql[] = [
  // Which golden record a source row belongs to. rule: key, like; without a golden key why not: unlike, ambiguous.
  // Entities of one contributor that gives the key have no rows here: every row is its own record.
  sql`create table if not exists naru.crosswalk (
    entity varchar, contributor varchar, source_key varchar, golden_key varchar, score double precision, rule varchar,
    run bigint)`,
  // One row for each cell where contributors disagree. "values" is a JSON list, personal values masked; winner is NULL
  // where nobody won: the cell is NULL, or the record was held as it was.
  sql`create table if not exists naru.conflict (
    run bigint, entity varchar, key varchar, "column" varchar, winner varchar, rule varchar, "values" varchar)`,
  // What the identities of a contributor were last matched on: a fingerprint of both sides and of the settings.
  sql`create table if not exists naru.match_basis (entity varchar, contributor varchar, basis varchar, run bigint)`,
]

/** For engines that look golden keys up row by row. By hash: a source key may be longer than an ordered index takes. */
export const lookupIndexes: readonly Sql[] = [
  sql`create index if not exists crosswalk_source_key on naru.crosswalk using hash (source_key)`,
]
