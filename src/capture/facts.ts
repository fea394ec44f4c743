import type { ChangeDef } from '../config/model.ts'

/**
 * What becomes of something that happens in a source.
 * - `seen`: it arrives.
 * - `within the lag`: it arrives where the source tells its open transactions; elsewhere if it is no later than the lag or
 *   the overlap that the config states.
 * - `keys swept`, `rows swept`: it arrives with the next sweep of keys or of whole rows, and is missed without sweeps.
 * - `missed`: it does not arrive.
 */
export type Coverage = 'seen' | 'within the lag' | 'keys swept' | 'rows swept' | 'missed'

/** What may happen in a source, and how well a technique covers each. */
export interface CoverageByEvent {
  readonly inserts: Coverage
  readonly updates: Coverage
  readonly deletes: Coverage
  /** Rows that become visible after rows that were written later. */
  readonly lateCommits: Coverage
  /** Rows with the same time or number. */
  readonly ties: Coverage
  /** Updates by writers that know nothing of the capture: they leave the time, the number, the flag or the outbox alone. */
  readonly silentWriters: Coverage
  /** Values that a row had for a while between two reads. */
  readonly versionsBetween: Coverage
  /** A row that gets another key: the old one must go. */
  readonly keyChanges: Coverage
  /** A table that is emptied at once. */
  readonly truncates: Coverage
}

/** What a change technique sees and costs: data, for people, for the advisor and for the suite that proves it. */
export interface TechniqueFacts {
  readonly technique: ChangeDef['technique']
  readonly reads: string
  readonly sees: CoverageByEvent
  /** What it costs the source. */
  readonly cost: string
  /** Privileges and settings at the source. */
  readonly needs: readonly string[]
}

const words: Readonly<Record<keyof CoverageByEvent, string>> = {
  inserts: 'inserts',
  updates: 'updates',
  deletes: 'deletes',
  lateCommits: 'late commits',
  ties: 'equal times or numbers',
  silentWriters: 'updates that leave its columns alone',
  versionsBetween: 'versions between two reads',
  keyChanges: 'the old key of a row that got another',
  truncates: 'a table that is emptied at once',
}

/** The silent writers of an outbox. */
const untold = 'writers that tell it nothing'

/** What a table's technique cannot see, in words; what arrives late says so. Empty when it sees everything. */
export function blindSpotsOf(facts: TechniqueFacts, change: ChangeDef): readonly string[] {
  const deletes = 'deletes' in change ? change.deletes : { kind: 'keep' }
  return (Object.keys(words) as (keyof CoverageByEvent)[]).flatMap(what => {
    const coverage = facts.sees[what]
    if (coverage === 'seen') return []
    if (coverage === 'within the lag') return statedOf(change)
    const isSwept = coverage !== 'missed' && deletes.kind === 'sweep'
    const missed = what === 'silentWriters' && change.technique === 'event' ? untold : words[what]
    return [isSwept ? `${missed} before the next sweep` : missed]
  })
}

/** Late commits, where the config states how late they may be. */
function statedOf(change: ChangeDef): readonly string[] {
  const parts = change.technique === 'combined' ? [change.timestamp, change.version] : [change]
  return parts.flatMap(part => {
    if (part !== null && 'lagMs' in part && part.lagMs !== null) return [`commits over ${part.lagMs / 1000} s late`]
    if (part === null || !('overlap' in part) || part.overlap === null) return []
    return [`numbers over ${part.overlap} below the highest`]
  })
}
