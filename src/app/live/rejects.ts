import type { Clock } from '../../core/env.ts'
import type { Emit } from '../../core/events.ts'
import { sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { resyncRejected } from '../../run/set-aside.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { Extracted } from '../../etl/interface/index.ts'
import type { Taken } from '../stream/tick.ts'

/** Rows of a table that one publish set aside for the same reason. */
export interface TickRejects {
  readonly table: SourceTableDef
  readonly reason: string
  readonly rows: number
  /** Of one of them; `null` when it is not known, or personal. */
  readonly key: string | null
}

/** What a publish of these loads and changes set aside, read in its transaction behind all of its stages. */
export async function rejectsOf(
  tx: Transaction,
  given: { readonly run: bigint; readonly loads: readonly Extracted[]; readonly taken: readonly Taken[] },
): Promise<readonly TickRejects[]> {
  const found: TickRejects[] = []
  const read = async (table: SourceTableDef, which: Sql): Promise<void> => {
    const rows = await tx.rows(sql`
      select reason, count(*) as n, min(case when row_key like '{%' then row_key end) as row_key
      from naru.reject where ${which} group by reason order by reason`)
    for (const row of rows) {
      const key = row['row_key'] as string | null
      found.push({ table, reason: String(row['reason']), rows: Number(row['n']), key })
    }
  }
  for (const { table, load } of given.loads) await read(table, sql`load = ${load}`)
  for (const { table, changes } of given.taken) {
    const first = table.extracted
    if (first !== null) await read(table.known, sql`load = ${first.load}`)
    // What is incomplete is found when it is applied, and only where the source sends no whole rows.
    else if (changes.staged !== null && (changes.rejected > 0 || changes.staged.unchanged.length > 0)) {
      const before = table.load?.run === given.run ? table.load.lines : 0n
      await read(table.known, sql`load = ${changes.staged.load} and unit = 0 and line > ${before}`)
    }
  }
  return found
}

/** Without one for so long, the next is told again. */
const quietMs = 60_000

/** Tells what ticks set aside once for each table and reason for as long as it goes on: a fault of every row would fill a log. */
export class RejectNotes {
  readonly #clock: Clock
  readonly #seenAt = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  tell(rejects: readonly TickRejects[], emit: Emit): void {
    const now = this.#clock.monotonicMs()
    for (const { table, reason, rows, key } of rejects) {
      const name = `${table.source}.${table.name}`
      const cause = `${name} ${reason}`
      const isNew = now - (this.#seenAt.get(cause) ?? -Infinity) > quietMs
      this.#seenAt.set(cause, now)
      if (!isNew) continue
      const which = key === null ? '' : `, such as ${key}`
      const command = resyncRejected(table)
      const again = command === null ? '' : `; once mended: ${command}`
      const text = `${name}: ${rows} ${rows === 1 ? 'row was' : 'rows were'} set aside (${reason}${which}); naru status counts them and naru.reject lists them${again}`
      emit({ kind: 'note', level: 'warn', text, code: reason })
    }
  }
}
