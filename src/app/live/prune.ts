import type { Emit } from '../../core/events.ts'
import { sql } from '../../core/sql.ts'
import type { Extracted } from '../../etl/interface/index.ts'
import { nodeId } from '../../plan/graph.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { stagedName } from '../../run/tables.ts'

/**
 * Forgets polls that found nothing new, so that a table which is read every minute leaves no row behind each time: of the polls
 * of a table without a change the last one stays.
 */
export class QuietPolls {
  readonly #last = new Map<string, bigint>()

  /** Called in the transaction that publishes `loads`. */
  async prune(tx: Transaction, loads: readonly Extracted[]): Promise<void> {
    const gone = loads.flatMap(({ table }) => this.#last.get(stagedName(table)) ?? [])
    for (const load of gone) {
      await tx.execute(sql`delete from naru.load where load = ${load}`)
      await tx.execute(sql`delete from naru.unit where load = ${load}`)
      await tx.execute(sql`delete from naru.control_total where load = ${load}`)
    }
  }

  /** Called once it has: `changed` are the nodes of the graph of which a row came, changed or went. */
  note(loads: readonly Extracted[], changed: ReadonlySet<string>): void {
    for (const { table, load } of loads) {
      const name = stagedName(table)
      if (changed.has(nodeId('staging', table.source, table.name))) this.#last.delete(name)
      else this.#last.set(name, load)
    }
  }
}

/** Notes the nodes of which a row came, changed or went. */
export function noting(emit: Emit, changed: Set<string>): Emit {
  return event => {
    if (event.kind === 'step' && event.state === 'end' && (event.rows ?? 0) > 0) changed.add(event.step)
    emit(event)
  }
}
