import { fail } from '../core/errors.ts'
import { sql } from '../core/sql.ts'
import type { Row, Transaction } from '../services/engine/contract.ts'
import type { RunFacts } from './model.ts'
import { numberOf, shownText, timeText } from './sample.ts'

/** The run that was asked for, or the last one that ended, well or not. Throws `REPORT_NO_RUN`. */
export async function readRun(tx: Transaction, asked: bigint | undefined): Promise<RunFacts> {
  const which = asked === undefined ? sql`` : sql`and run = ${asked}`
  const [row] = await tx.rows(sql`
    select run, state, as_of_micros, began_micros, ended_micros, error_code, error_text
    from naru.run where ended_micros is not null ${which} order by run desc limit 1`)
  if (row === undefined) throw fail('REPORT_NO_RUN', { run: asked ?? null })
  const [read] = await tx.rows(sql`
    select sum(rows_read) as taken, sum(rows_rejected) as rejected from naru.load
    where run = ${row['run'] as bigint} or published_run = ${row['run'] as bigint}`)
  return {
    run: numberOf(row['run']),
    state: String(row['state']),
    began: timeText(row['began_micros']),
    ended: timeText(row['ended_micros']),
    seconds: secondsOf(row),
    asOf: timeText(row['as_of_micros']),
    rowsRead: numberOf(read?.['taken']),
    rowsRejected: numberOf(read?.['rejected']),
    error:
      typeof row['error_code'] === 'string'
        ? { code: row['error_code'], text: shownText(row['error_text']) ?? '' }
        : null,
  }
}

function secondsOf(row: Row): number | null {
  const [began, ended] = [row['began_micros'], row['ended_micros']]
  return began === null || ended === null ? null : Number((ended as bigint) - (began as bigint)) / 1_000_000
}
