import { buffersOf } from '../../core/batch.ts'
import { joinBatches } from '../../core/batch-join.ts'
import { changeOp, type ChangeMessage, type ChangeSlice, type TableChanges } from '../../core/change-slice.ts'
import type { Clock } from '../../core/env.ts'
import type { ColumnDef } from '../../core/types.ts'
import { oneAtATime } from '../../core/one-at-a-time.ts'
import { messagesOf, noTransactions } from './change-order.ts'
import { CLAIM_MS_MAX, claimPosition, claimText, nextNumber, type ClaimPosition } from './claims.ts'
import type { SourceBatch } from './contract.ts'
import { captureDefaults, type CapturedTable, type CaptureLag } from './contract-capture.ts'
import type { ChangeFeed } from './polled-stream.ts'

/** Rows of one table that were claimed, as they are then. */
export interface ClaimedRows {
  readonly table: CapturedTable
  readonly columns: readonly ColumnDef[]
  readonly batches: readonly SourceBatch[]
}

/** What a system does for a stream of claims. One call at a time. */
export interface ClaimSource {
  /** The source's clock, and whether there is anything to claim. Buffers of the last claim may be used again. */
  look(signal: AbortSignal): Promise<{ readonly clockMicros: bigint; readonly hasPending: boolean }>
  /**
   * Begins a transaction, locks rows of about `bytes` bytes that nobody else holds, sets their flag and gives them. `isWhole`:
   * none is left of those that were committed before the last look.
   */
  claim(
    bytes: number,
    signal: AbortSignal,
  ): Promise<{ readonly rows: readonly ClaimedRows[]; readonly isWhole: boolean }>
  /** Notes how far claims are confirmed, and commits the claim. */
  commit(number: bigint): Promise<void>
  /** Takes the claim back; never throws. */
  rollback(): Promise<void>
  /** Bytes of the rows that may be claimed. */
  pendingBytes(signal: AbortSignal): Promise<bigint>
  close(): Promise<void>
  /** An error of the driver in our words. */
  problem(error: unknown): unknown
}

/**
 * Claims rows and gives them, one claim at a time. The transaction of a claim holds its rows until they are confirmed: a
 * writer of such a row waits, and then sets the flag anew, so that the row is claimed again. Rows that others hold are left
 * for later, so that nobody waits for a reader who waits for them.
 */
export class ClaimFeed implements ChangeFeed {
  readonly #source: ClaimSource
  readonly #clock: Clock
  readonly #bytes: number
  #last: ClaimPosition
  /** The claim that waits for its confirmation. */
  #open: { readonly number: bigint; readonly sinceMs: number } | null = null
  readonly #turns = oneAtATime()

  constructor(
    source: ClaimSource,
    given: { readonly clock: Clock; readonly from: ClaimPosition; readonly bytes: number | undefined },
  ) {
    this.#source = source
    this.#clock = given.clock
    this.#last = given.from
    this.#bytes = given.bytes ?? captureDefaults.sliceBytes
  }

  poll(isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | null> {
    return this.#alone(async () => {
      if (this.#open !== null && this.#clock.monotonicMs() - this.#open.sinceMs > CLAIM_MS_MAX) await this.#takeBack()
      if (this.#open !== null) return isDue ? this.#sign(null) : null
      const { clockMicros, hasPending } = await this.#source.look(signal)
      if (hasPending) return this.#claim(clockMicros, isDue, signal)
      this.#advance(clockMicros, true)
      return isDue ? this.#sign(clockMicros) : null
    })
  }

  confirm(position: string): Promise<void> {
    return this.#alone(async () => {
      const number = claimPosition(position)?.number
      if (this.#open === null || number === undefined || number < this.#open.number) return
      await this.#source.commit(this.#open.number)
      this.#open = null
    })
  }

  lag(signal: AbortSignal): Promise<CaptureLag> {
    return this.#alone(async () => ({
      bytes: await this.#source.pendingBytes(signal),
      bytesLeft: null,
      trouble: null,
    }))
  }

  async close(): Promise<void> {
    await this.#turns.idle()
    if (this.#open !== null) await this.#takeBack()
    await this.#source.close()
  }

  async #takeBack(): Promise<void> {
    this.#open = null
    await this.#source.rollback()
  }

  async #claim(clockMicros: bigint, isDue: boolean, signal: AbortSignal): Promise<ChangeSlice | null> {
    let claimed: Awaited<ReturnType<ClaimSource['claim']>>
    try {
      claimed = await this.#source.claim(this.#bytes, signal)
    } catch (error) {
      await this.#source.rollback()
      throw error
    }
    const tables: TableChanges[] = []
    const messages: ChangeMessage[] = []
    let place = 0
    for (const { table, columns, batches } of claimed.rows) {
      const rejects = batches.flatMap(batch => batch.rejects)
      messages.push(...messagesOf(table.name, rejects))
      const filled = batches.map(({ batch }) => batch).filter(({ rows }) => rows > 0)
      if (filled.length === 0) continue
      const rows = joinBatches(filled)
      const order = Uint32Array.from({ length: rows.rows }, () => place++)
      const ops = new Uint8Array(rows.rows).fill(changeOp.insert)
      tables.push({ table: table.name, columns, rows, ops, order, unchanged: columns.map(() => null) })
    }
    const isEmpty = tables.length === 0 && messages.length === 0
    // Rows that others hold are all there is: this place is not passed, but nothing is given either.
    if (!isEmpty || claimed.isWhole) this.#advance(clockMicros, claimed.isWhole)
    if (!isEmpty) {
      this.#open = { number: this.#last.number, sinceMs: this.#clock.monotonicMs() }
      return { ...this.#sign(clockMicros), tables, messages }
    }
    await this.#source.rollback()
    return isDue ? this.#sign(clockMicros) : null
  }

  #advance(clockMicros: bigint, isWhole: boolean): void {
    this.#last = { ...this.#last, number: nextNumber(this.#last.number, clockMicros, isWhole) }
  }

  #sign(committedMicros: bigint | null): ChangeSlice {
    const position = claimText(this.#last)
    return { position, committedMicros, tables: [], transactions: noTransactions, messages: [] }
  }

  async #alone<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await this.#turns.run(task)
    } catch (error) {
      throw this.#source.problem(error)
    }
  }
}

/** Bytes of the values of some batches. */
export function bytesOf(batches: readonly SourceBatch[]): number {
  return batches.flatMap(({ batch }) => buffersOf(batch)).reduce((sum, buffer) => sum + buffer.byteLength, 0)
}
