/** Where a stream stands: which server, which of its histories, which publication, and the byte of its log. */
export interface LogPosition {
  readonly system: string
  readonly timeline: number
  /** Object id of the publication: one that was made anew did not see what was before it. */
  readonly publication: number
  readonly lsn: bigint
}

/** As the server writes a place in its log: `16/B374D848`. */
export function lsnText(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}

export function parseLsn(text: string): bigint {
  const [high, low] = text.split('/') as [string, string]
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

export function positionText({ system, timeline, publication, lsn }: LogPosition): string {
  return `pg:${system}:${timeline}:${publication}:${lsnText(lsn)}`
}

/** `null` for text that is no position. */
export function parsePosition(text: string): LogPosition | null {
  const match = /^pg:(\d{1,20}):(\d{1,10}):(\d{1,10}):([\dA-F]{1,8}\/[\dA-F]{1,8})$/.exec(text)
  if (match === null) return null
  const [, system, timeline, publication, lsn] = match as unknown as [string, string, string, string, string]
  return { system, timeline: Number(timeline), publication: Number(publication), lsn: parseLsn(lsn) }
}

/** Below 0 when `a` lies before `b`. */
export function comparePositions(a: string, b: string): number {
  const [first, second] = [parsePosition(a)?.lsn ?? 0n, parsePosition(b)?.lsn ?? 0n]
  return first < second ? -1 : first > second ? 1 : 0
}
