/** The numbers of a column that were seen by one view of a source. */
export interface SeenVersions {
  /** When the view was taken, by the source's clock. */
  readonly takenMicros: bigint
  /** The highest number that a row had. */
  readonly highest: bigint
}

/** How far a table was read by the numbers of a column. */
export interface VersionPosition {
  /** No row that was not read yet has, or will get, a number below it; `null` when that is not known. */
  readonly bound: bigint | null
  /** Earlier views, oldest first: from these a later bound follows. */
  readonly seen: readonly SeenVersions[]
}

/** What the position behind a read follows from, beside the numbers that come. */
export interface VersionPlan {
  readonly column: string
  /** Numbers below the highest that may still come, as the config says; `null` when it leaves that to the source. */
  readonly overlap: bigint | null
  readonly takenAtMicros: bigint
  readonly horizonMicros: bigint | null
  readonly before: VersionPosition | null
}

/** As a horizon: a transaction is open that began before the clock was put back, so that nobody knows what it stamps. */
export const anyTime = 0n

/** Most views that are remembered. Fewer give a lower bound, never a wrong one. */
const seenMax = 1_000

/**
 * The position behind a read whose highest number was `highest`.
 *
 * Numbers are given in the order of time. What a view does not show comes from transactions that began at or after its
 * horizon. So whatever is not in this view has a number that was given after every view that was taken before the horizon: the
 * highest number of the newest such view is the bound. It needs no number of the transactions that are open, which no
 * source can tell. Equal numbers are possible, so the bound itself is read again.
 */
export function versionsAfter(plan: VersionPlan, highest: bigint | null): VersionPosition {
  const { overlap, takenAtMicros: takenMicros, horizonMicros, before } = plan
  const earlier = before?.seen ?? []
  const known = [highest, earlier.at(-1)?.highest ?? null].filter(it => it !== null)
  if (known.length === 0) return { bound: null, seen: [] }
  const top = known.reduce((a, b) => (a > b ? a : b))
  const seen = [...earlier, { takenMicros, highest: top }]
  const stated = overlap === null ? null : top - overlap
  if (horizonMicros === null) return { bound: stated, seen: seen.slice(-1) }
  // Whoever has a number already, and began before the clock was put back, is behind this view by no clock.
  if (horizonMicros === anyTime) return { bound: lower(before?.bound ?? null, stated), seen: earlier }
  const place = seen.findLastIndex(view => view.takenMicros <= horizonMicros)
  const exact = place < 0 ? (before?.bound ?? null) : (seen[place] as SeenVersions).highest
  return { bound: lower(exact, stated), seen: thinned(seen.slice(Math.max(0, place))) }
}

function lower(exact: bigint | null, stated: bigint | null): bigint | null {
  return exact === null || (stated !== null && stated < exact) ? stated : exact
}

function thinned(seen: readonly SeenVersions[]): readonly SeenVersions[] {
  return seen.length <= seenMax ? seen : seen.filter((_, i) => i % 2 === 0 || i === seen.length - 1)
}

/** As it is kept in the control tables. */
export function versionsText({ bound, seen }: VersionPosition): string {
  return JSON.stringify({
    bound: bound === null ? null : String(bound),
    seen: seen.map(view => [String(view.takenMicros), String(view.highest)]),
  })
}

/** The position of such a text. */
export function versionsOf(text: string | null): VersionPosition | null {
  if (text === null) return null
  const { bound, seen } = JSON.parse(text) as { bound: string | null; seen: readonly (readonly [string, string])[] }
  return {
    bound: bound === null ? null : BigInt(bound),
    seen: seen.map(([takenMicros, highest]) => ({ takenMicros: BigInt(takenMicros), highest: BigInt(highest) })),
  }
}
