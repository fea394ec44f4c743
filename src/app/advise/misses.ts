import type { TechniqueFacts } from '../../capture/facts.ts'
import type { ChangeDef } from '../../config/model.ts'
import type { TableEvidence } from '../../services/adapter/contract-advice.ts'
import { columnsOfChange as columnsOf } from '../../run/technique.ts'
import type { Candidate } from './candidates.ts'

/** What a technique would miss on a table. */
export interface Miss {
  readonly text: string
  /** `lost`: the evidence says that it happens, and it would stay wrong. `late`: it is put right by the next sweep. `unless`: nothing says that it happens. */
  readonly kind: 'lost' | 'late' | 'unless'
}

/** What is known of one table. */
export interface MissGiven {
  readonly facts: TechniqueFacts
  readonly change: ChangeDef
  readonly evidence: TableEvidence | undefined
  readonly candidates: readonly Candidate[]
  /** The source tells its open transactions to this account. */
  readonly seesTransactions: boolean
}

/** What this technique would miss on this table, by the facts of the technique and what the source says. */
export function missesOf(given: MissGiven): readonly Miss[] {
  const { facts } = given
  if (facts.technique === 'full') return [{ text: 'what a row was between two reads', kind: 'unless' }]
  const misses = [deletesMiss(given), silentMiss(given), lateMiss(given), nullMiss(given)]
  if (facts.sees.versionsBetween === 'missed') misses.push({ text: 'what a row was between two reads', kind: 'unless' })
  if (facts.sees.keyChanges !== 'seen' && given.evidence?.counters?.updates !== 0n)
    misses.push({ text: 'the old key of a row that gets another stays like a deleted row', kind: 'unless' })
  return misses.filter(it => it !== null)
}

function isSwept({ change }: MissGiven): boolean {
  return 'deletes' in change && change.deletes.kind === 'sweep'
}

function deletesMiss(given: MissGiven): Miss | null {
  const { facts, evidence } = given
  if (facts.sees.deletes === 'seen') return null
  const deletes = evidence?.counters?.deletes
  if (deletes === undefined) return { text: 'deletes, if there are any: they are not counted here', kind: 'unless' }
  if (deletes === 0n) return { text: 'deletes: the source counted none so far', kind: 'unless' }
  if (isSwept(given) && facts.sees.deletes !== 'missed')
    return { text: `deletes (${deletes} counted) until the next sweep`, kind: 'late' }
  return { text: `deletes: ${deletes} were counted, and each leaves a ghost row`, kind: 'lost' }
}

/** Writers that leave the column of the technique alone: rows that lie behind what was written before them. */
function silentMiss(given: MissGiven): Miss | null {
  const { facts, change, candidates } = given
  if (facts.sees.silentWriters === 'seen') return null
  const used = columnsOf(change)
  const seen = candidates.filter(it => used.includes(it.column))
  const behind = seen.length === 0 ? 0 : Math.min(...seen.map(it => it.behind))
  if (behind === 0) {
    const what =
      facts.technique === 'event'
        ? 'writers that do not go through the application'
        : 'writers that leave its columns alone'
    return { text: `${what}: none is known`, kind: 'unless' }
  }
  const text = `silent writers are suspected: ${behind} sampled rows were written without a later value of ${used.join(', ')}`
  return isSwept(given) && facts.sees.silentWriters === 'rows swept'
    ? { text: `${text}; found by the next sweep`, kind: 'late' }
    : { text, kind: 'lost' }
}

function lateMiss({ facts, change, seesTransactions }: MissGiven): Miss | null {
  if (facts.sees.lateCommits !== 'within the lag' || seesTransactions) return null
  return {
    text: `commits later than the ${change.technique === 'version' ? 'overlap' : 'lag'} that the config states`,
    kind: 'unless',
  }
}

function nullMiss(given: MissGiven): Miss | null {
  const used = columnsOf(given.change)
  if (given.change.technique === 'status' || used.length === 0) return null
  const nulls = Math.min(...used.map(name => given.candidates.find(it => it.column === name)?.nulls ?? 0))
  if (nulls === 0) return null
  const text = `${nulls} sampled rows have no ${used.join(', ')}`
  return isSwept(given) && given.facts.sees.silentWriters === 'rows swept'
    ? { text: `${text}; found by the next sweep`, kind: 'late' }
    : { text: `${text}: later changes of such rows are not seen`, kind: 'lost' }
}
