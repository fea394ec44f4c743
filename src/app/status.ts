import { asText, timestampOf } from '../core/dialect-functions.ts'
import { ident, sql } from '../core/sql.ts'
import type { SourceTableDef } from '../config/model.ts'
import { readDifferences, type DifferenceNow } from '../run/comparisons.ts'
import { countSetAside, type TableSetAside } from '../run/set-aside.ts'
import { readStopped, type StoppedNow } from '../run/stopped.ts'
import type { Cell, Transaction } from '../services/engine/contract.ts'

export type { DifferenceNow } from '../run/comparisons.ts'
export type { TableSetAside } from '../run/set-aside.ts'

/** What `naru status` shows. Times are text in UTC. */
export interface Status {
  readonly runs: readonly { readonly run: Cell; readonly state: Cell; readonly began: Cell; readonly error: Cell }[]
  readonly positions: readonly {
    readonly table: Cell
    readonly readUpTo: Cell
    readonly load: Cell
    readonly rows: Cell
  }[]
  /** Tables that stay as they are until the config or their contract takes their new shape. */
  readonly stopped: readonly StoppedNow[]
  /** Loads that are half-read: they go on in the next run. */
  readonly unfinished: readonly {
    readonly load: Cell
    readonly table: Cell
    readonly rows: Cell
    readonly why: string
  }[]
  /** Ranges of tables of streams that are not what their source has. */
  readonly differing: readonly DifferenceNow[]
  readonly quarantine: readonly { readonly entity: string; readonly rows: number }[]
  /** Rows that were set aside at the interface and have not come since; `naru.reject` lists them. */
  readonly setAside: readonly TableSetAside[]
}

/** The status of a database that nothing came into yet. */
export const nothingYet: Status = {
  runs: [],
  positions: [],
  stopped: [],
  unfinished: [],
  differing: [],
  quarantine: [],
  setAside: [],
}

const runsShown = 5

/** When the sources with hours open, by name; `null` for those that may be read now. */
export type Hours = Readonly<Record<string, string | null>>

/** The status of the database, with what is set aside of these tables. */
export async function readStatus(
  tx: Transaction,
  hours: Hours = {},
  tables: readonly SourceTableDef[] = [],
): Promise<Status> {
  const runs = await tx.rows(sql`
    select run, state, ${asText(timestampOf(ident('began_micros')))} as began,
      case when error_code is null then null else error_code || ': ' || left(error_text, 100) end as error
    from naru.run order by run desc limit ${runsShown}`)
  // A load of changes has no view of its source: how far it came is the place of its stream.
  const streamed = (await tx.exists(ident('naru', 'stream')))
    ? sql`(select max(s.committed_micros) from naru.stream s where s.source = p.source and s."table" = p."table")`
    : sql`null`
  const positions = await tx.rows(sql`
    select p.source || '.' || p."table" as "table",
      ${asText(timestampOf(sql`coalesce(${streamed}, p.horizon_micros, l.taken_micros)`))} as up_to,
      p.load, l.rows_read as "rows"
    from naru.position p left join naru.load l on l.load = p.load order by 1`)
  const quarantine = await tx.rows(sql`
    select entity, count(*) as n from naru.quarantine where state <> 'resolved' group by entity order by entity`)
  const unfinished = await tx.rows(sql`
    select l.load, l.source, l.source || '.' || l."table" as "table", coalesce(sum(u.rows_read), 0) as "rows"
    from naru.load l left join naru.unit u on u.load = l.load
    where l.state = 'reading' group by l.load, l.source, l."table" order by l.load`)
  return {
    stopped: await readStopped(tx),
    differing: await readDifferences(tx),
    unfinished: unfinished.map(row => ({
      load: row['load'] ?? null,
      table: row['table'] ?? null,
      rows: String(row['rows']),
      why: whyUnfinished(hours[String(row['source'])] ?? null),
    })),
    runs: runs.map(row => ({
      run: row['run'] ?? null,
      state: row['state'] ?? null,
      began: row['began'] ?? null,
      error: row['error'] ?? null,
    })),
    positions: positions.map(row => ({
      table: row['table'] ?? null,
      readUpTo: row['up_to'] ?? null,
      load: row['load'] ?? null,
      rows: row['rows'] ?? null,
    })),
    setAside: await countSetAside(tx, tables),
    quarantine: quarantine.map(row => ({ entity: String(row['entity']), rows: Number(row['n']) })),
  }
}

function whyUnfinished(opens: string | null): string {
  return opens === null ? 'goes on in the next run' : `waits for the hours of its source, from ${opens}`
}
