import type { Captures } from './contract-capture.ts'

/**
 * What claimed rows tell: each as it is now, as an insert, for nobody knows whether it was there before. A delete leaves
 * nothing to claim. What was claimed and not confirmed comes again.
 */
export const claimCan: Captures['can'] = {
  deletes: false,
  everyVersion: false,
  silentWriters: false,
  transactions: false,
  truncates: false,
  repeats: true,
}

/** A place in a stream of claims. Numbers are of the source's clock, made to grow: microseconds since 1970. */
export interface ClaimPosition {
  /** Of the installation: another one claims for itself. */
  readonly log: string
  readonly number: bigint
}

export function claimText({ log, number }: ClaimPosition): string {
  return `${log}/${number}`
}

/** `null` when the text is no such position. */
export function claimPosition(text: string): ClaimPosition | null {
  const [, log, number] = /^([^/]+)\/(\d+)$/.exec(text) ?? []
  return log === undefined || number === undefined ? null : { log, number: BigInt(number) }
}

/** As `Captures.compare`. */
export function compareClaims(a: string, b: string): number {
  const [x, y] = [claimPosition(a)?.number ?? 0n, claimPosition(b)?.number ?? 0n]
  return x < y ? -1 : x > y ? 1 : 0
}

/**
 * The next number of a stream. One of the clock says that nothing that was committed before it is left; where rows were left
 * (others hold them, or there were too many) it only follows the last.
 */
export function nextNumber(last: bigint, clockMicros: bigint, isWhole: boolean): bigint {
  return isWhole && clockMicros > last ? clockMicros : last + 1n
}

/** Longest that a claim waits for its confirmation. It is taken back then: writers of its rows wait as long. */
export const CLAIM_MS_MAX = 30_000
/** Most rows of a claim. */
export const CLAIM_ROWS_MAX = 16_384
/** How often the source is asked while it has nothing. */
export const CLAIM_POLL_MS = 100
