/** A place in the log of a server, between two transactions. */
export interface LogPosition {
  readonly file: string
  /** Bytes from the beginning of the file. */
  readonly offset: number
  /** `server_id` of the server whose log it is. */
  readonly server: number
  /** When the file was begun, in seconds since 1970: tells it from another one of the same name. */
  readonly born: number
  /** The last transaction of each domain, as MariaDB spells them: `0-1-42,1-1-7`. */
  readonly gtids: string
  /**
   * Where reading must begin so that nothing is missed, when that lies before: a transaction that was prepared there is not
   * ended yet. Those behind it that ended before `file` and `offset` were given already.
   */
  readonly since: { readonly file: string; readonly offset: number } | null
}

/** Where something stands in the log. */
export type Place = Pick<LogPosition, 'file' | 'offset'>

/** The position as text: `mysqld-bin.000003:4711 server 1 log 1764000000 gtid 0-1-42`. */
export function positionText({ file, offset, server, born, gtids, since }: LogPosition): string {
  const begin = since === null ? '' : ` since ${since.file}:${since.offset}`
  return `${file}:${offset} server ${server} log ${born} gtid ${gtids}${begin}`
}

/** Reads what `positionText` wrote; `null` when it is something else. */
export function parsePosition(text: string): LogPosition | null {
  const match = /^(.+):(\d+) server (\d+) log (\d+) gtid ([\d,-]*)(?: since (.+):(\d+))?$/.exec(text)
  if (match === null) return null
  const [, file, offset, server, born, gtids, sinceFile, sinceOffset] = match as unknown as readonly string[]
  return {
    file: file as string,
    offset: Number(offset),
    server: Number(server),
    born: Number(born),
    gtids: gtids as string,
    since: sinceFile === undefined ? null : { file: sinceFile, offset: Number(sinceOffset) },
  }
}

/** Below 0 when `a` lies before `b`. The servers number the files of a log. */
export function comparePlaces(
  a: { readonly file: string; readonly offset: number },
  b: { readonly file: string; readonly offset: number },
): number {
  return fileNumber(a.file) - fileNumber(b.file) || a.offset - b.offset
}

/** `3` of `mysqld-bin.000003`. */
export function fileNumber(file: string): number {
  return Number(/\.(\d+)$/.exec(file)?.[1] ?? 0)
}

const OFFSET_BITS = 40n

/** The number of a transaction by where it ends: those of one log are in the order of its commits. */
export function transactionId(file: string, end: number): bigint {
  return (BigInt(fileNumber(file)) << OFFSET_BITS) + BigInt(end)
}

/** The GTIDs of a set as text. */
export function gtidText(gtids: ReadonlyMap<number, string>): string {
  return [...gtids]
    .sort(([a], [b]) => a - b)
    .map(([, gtid]) => gtid)
    .join(',')
}

/** The GTIDs of a set by their domain. */
export function gtidsByDomain(text: string): Map<number, string> {
  const list = text === '' ? [] : text.split(',')
  return new Map(list.map(gtid => [Number(gtid.slice(0, gtid.indexOf('-'))), gtid]))
}
