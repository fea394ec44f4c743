import { sql, type Sql } from '../core/sql.ts'

/** What the interface and staging stages remember. Ordinary tables: "where did row X get lost" is a query over them. */
export const controlTables: readonly Sql[] = [
  // One accepted change set of one source table. state: reading, accepted, published, abandoned, undone. technique: with
  // its column. scope: all, delta, or range for a backfill. layout: the columns that the staged table had for this load,
  // as JSON. source_key: the key that the source itself declared.
  sql`create table if not exists naru.load (
    load bigint, source varchar, "table" varchar, scope varchar, technique varchar, state varchar,
    since_micros bigint, horizon_micros bigint, taken_micros bigint, swept boolean, restarts integer,
    rows_read bigint, rows_rejected bigint, run bigint, published_run bigint, layout varchar)`,
  // A chunk of keys or a file: committed with its rows, so a broken load goes on behind the last one.
  sql`create table if not exists naru.unit (
    load bigint, unit integer, kind varchar, key_after varchar, key_up_to varchar, file varchar,
    content_hash varchar, rows_read bigint, rows_rejected bigint)`,
  // Both ends of every control. equal is NULL where rejects make the two incomparable.
  sql`create table if not exists naru.control_total (
    load bigint, source varchar, "table" varchar, "column" varchar, measure varchar,
    source_value varchar, staged_value varchar, equal boolean)`,
  // How far each source table is read; commits with the rows it stands for.
  sql`create table if not exists naru.position (
    source varchar, "table" varchar, horizon_micros bigint, swept_micros bigint, load bigint)`,
  // Tables that were not read, because their shape in the source is no longer the one of the config: until they are again.
  sql`create table if not exists naru.stopped (
    source varchar, "table" varchar, run bigint, code varchar, text varchar)`,
  // Every file that was taken or refused, by content.
  sql`create table if not exists naru.file (
    source varchar, "table" varchar, content_hash varchar, name varchar, bytes bigint, modified_micros bigint,
    taken_micros bigint, state varchar, reason varchar, load bigint)`,
  // Rows that could not be staged, with the reason.
  sql`create table if not exists naru.reject (
    load bigint, unit integer, source varchar, "table" varchar, reason varchar, detail varchar,
    row_key varchar, file varchar, line bigint, bytes bigint, content varchar)`,
  // What a table has beside the config. state: evolved (taken in from the source), gone (NULL from now on).
  sql`create table if not exists naru."column" (
    source varchar, "table" varchar, "column" varchar, state varchar, type varchar, run bigint)`,
  // Columns that came later than their tables.
  sql`alter table naru.load add column if not exists range_column varchar`,
  sql`alter table naru.load add column if not exists range_from varchar`,
  sql`alter table naru.load add column if not exists range_to varchar`,
  sql`alter table naru.load add column if not exists source_key varchar`,
  sql`alter table naru.load add column if not exists undone_run bigint`,
  // How far by the numbers of a column: see run/versions.ts.
  sql`alter table naru.load add column if not exists versions varchar`,
  // Our clock beside `taken_micros`: by the two is told when the clock of the source went back.
  sql`alter table naru.load add column if not exists ours_micros bigint`,
  sql`alter table naru.position add column if not exists versions varchar`,
  // The options by which a file was read, as JSON; NULL for files that were not, and those of earlier versions.
  sql`alter table naru.file add column if not exists read_as varchar`,
  // NULL for figures of the whole load.
  sql`alter table naru.control_total add column if not exists unit integer`,
]
