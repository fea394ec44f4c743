import { comparePlaces, type Place } from './position.ts'

/** Transactions that were prepared and have not ended. Their rows stay where they are: in the log of the source. */
export class PreparedTransactions {
  readonly #starts = new Map<string, Place>()

  add(xid: string, start: Place): void {
    this.#starts.set(xid, start)
  }

  remove(xid: string): void {
    this.#starts.delete(xid)
  }

  startOf(xid: string): Place | null {
    return this.#starts.get(xid) ?? null
  }

  /** Where the oldest begins; `null` when there is none. */
  oldest(): Place | null {
    let oldest: Place | null = null
    for (const start of this.#starts.values()) if (oldest === null || comparePlaces(start, oldest) < 0) oldest = start
    return oldest
  }
}
