/** Numbers from `from` to `to`, both among them. */
export interface IdRange {
  readonly from: bigint
  readonly to: bigint
}

/** How far the changes of one table were given: every number up to `max` but those of `gaps`, which may still come. */
export interface IdsGiven {
  readonly max: bigint
  readonly gaps: readonly IdRange[]
}

/** Where some change tables, whose rows are numbered before they commit, were read to; by the name of each. */
export interface IdPosition {
  readonly log: string
  readonly tables: ReadonlyMap<string, IdsGiven>
}

export const nothingGiven: IdsGiven = { max: 0n, gaps: [] }

export function idPositionText({ log, tables }: IdPosition): string {
  const all = [...tables].sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([
    log,
    ...all.map(([name, { max, gaps }]) => [name, String(max), gaps.map(it => `${it.from}-${it.to}`).join(',')]),
  ])
}

/** `null` when the text is no position of such tables. */
export function idPositionOf(text: string): IdPosition | null {
  try {
    const [log, ...tables] = JSON.parse(text) as [string, ...[string, string, string][]]
    if (typeof log !== 'string') return null
    return {
      log,
      tables: new Map(tables.map(([name, max, gaps]) => [name, { max: BigInt(max), gaps: rangesOf(gaps) }])),
    }
  } catch {
    return null // no JSON, no list, or no numbers
  }
}

function rangesOf(text: string): readonly IdRange[] {
  if (text === '') return []
  return text.split(',').map(part => {
    const [from, to] = part.split('-') as [string, string]
    return { from: BigInt(from), to: BigInt(to) }
  })
}

/** Below 0 when `b` has something that `a` has not. Tables that only one of them has are not compared. */
export function compareIdPositions(a: IdPosition, b: IdPosition): number {
  const both = [...a.tables].flatMap(([name, given]) => {
    const other = b.tables.get(name)
    return other === undefined ? [] : [[given, other] as const]
  })
  const isBehind = both.some(([mine, other]) => !covers(mine, other))
  if (isBehind) return -1
  return both.some(([mine, other]) => !covers(other, mine)) ? 1 : 0
}

/** True when everything that `other` has given is given in `mine`. */
export function covers(mine: IdsGiven, other: IdsGiven): boolean {
  if (mine.max < other.max) return false
  return mine.gaps.every(gap => {
    const to = gap.to < other.max ? gap.to : other.max
    return gap.from > to || other.gaps.some(it => it.from <= gap.from && it.to >= to)
  })
}

/** What is given when these rows are, all in order: holes between them become gaps, and rows in gaps fill them. */
export function withIds(given: IdsGiven, ids: readonly bigint[]): IdsGiven {
  let { max } = given
  const opened: IdRange[] = []
  const filled: bigint[] = []
  for (const id of ids) {
    if (id <= max) filled.push(id)
    else {
      if (id > max + 1n) opened.push({ from: max + 1n, to: id - 1n })
      max = id
    }
  }
  return { max, gaps: [...withoutIds(given.gaps, filled), ...opened] }
}

/** Ranges without some numbers, which are in order. */
export function withoutIds(ranges: readonly IdRange[], ids: readonly bigint[]): readonly IdRange[] {
  if (ids.length === 0) return ranges
  let next = 0
  return ranges.flatMap(({ from, to }) => {
    const left: IdRange[] = []
    let start = from
    for (; next < ids.length && (ids[next] as bigint) <= to; next++) {
      const id = ids[next] as bigint
      if (id < start) continue
      if (id > start) left.push({ from: start, to: id - 1n })
      start = id + 1n
    }
    if (start <= to) left.push({ from: start, to })
    return left
  })
}
