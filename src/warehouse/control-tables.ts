import { sql, type Sql } from '../core/sql.ts'

/** What the warehouse remembers beside its tables. */
export const controlTables: readonly Sql[] = [
  // M73: every row of a dimension that was changed after the fact, as it was and as it is (NULL when it was taken out).
  sql`create table if not exists naru.restatement (
    run bigint, "table" varchar, surrogate bigint, "key" varchar, what varchar, "before" varchar, "after" varchar)`,
  // Totals of every fact against its export, after each load.
  sql`create table if not exists naru.reconciliation (
    run bigint, fact varchar, measure varchar, export_value varchar, fact_value varchar, equal boolean)`,
]
