/** The middle and the end of a list of figures. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
}

/** The percentiles of a list of figures; `null` of none. */
export function percentilesOf(figures: readonly number[]): Percentiles | null {
  const sorted = figures.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
  return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99) }
}
