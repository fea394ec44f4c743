/** What a view of PostgreSQL has seen the end of: every transaction below `xmax` but those of `running`. */
export interface Seen {
  /** As the server writes it: `xmin:xmax:xip,xip`. */
  readonly text: string
  readonly xmin: bigint
  readonly xmax: bigint
  readonly running: number
}

/**
 * Where a change table was read to. Everything that `seen` sees is given. Within a window to `upTo` also its transactions
 * up to the one whose last change is number `after`.
 */
export interface Position {
  /** Which change table it is of: made anew, it has another. */
  readonly log: string
  readonly seen: Seen
  readonly upTo: Seen | null
  readonly after: bigint
}

/** Reads what `pg_current_snapshot()` gives; `null` when it is none. */
export function seenOf(text: string): Seen | null {
  const parts = /^(\d+):(\d+):([\d,]*)$/.exec(text)
  if (parts === null) return null
  const [, xmin, xmax, running] = parts as unknown as [string, string, string, string]
  return { text, xmin: BigInt(xmin), xmax: BigInt(xmax), running: running === '' ? 0 : running.split(',').length }
}

export function positionText({ log, seen, upTo, after }: Position): string {
  return [log, seen.text, ...(upTo === null ? [] : [upTo.text, String(after)])].join('/')
}

/** `null` when the text is no position of a change table. */
export function positionOf(text: string): Position | null {
  const [log, seenText, upToText, afterText, ...rest] = text.split('/')
  const seen = seenOf(seenText ?? '')
  const upTo = upToText === undefined ? null : seenOf(upToText)
  const isWhole = upToText === undefined ? true : upTo !== null && /^\d+$/.test(afterText ?? '')
  if (log === undefined || log === '' || seen === null || !isWhole || rest.length > 0) return null
  return { log, seen, upTo, after: BigInt(afterText ?? '0') }
}

/**
 * Views of one server order by the number of transactions that they have seen the end of: a later view has seen all that an
 * earlier one has, because a number is never running again.
 */
export function comparePositions(a: Position, b: Position): number {
  return compare(finished(a.seen), finished(b.seen)) || compare(a.after, b.after)
}

function finished({ xmax, running }: Seen): bigint {
  return xmax - BigInt(running)
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
