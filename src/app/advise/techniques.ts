import type { Technique } from '../../config/change.ts'
import { techniqueNames } from '../../config/change-def.ts'
import type { ChangeDef } from '../../config/model.ts'
import { columnsOfChange } from '../../run/technique.ts'
import type { AskedTable, SourceEvidence, TableEvidence } from '../../services/adapter/contract-advice.ts'
import type { CaptureProblem } from '../../services/adapter/contract-capture.ts'
import { techniqueFacts } from '../techniques.ts'
import type { Candidate } from './candidates.ts'
import { costOf } from './costs.ts'
import { missesOf, type Miss } from './misses.ts'

/** Something that a technique needs on a table, and the statement that gives it. */
export interface Need {
  readonly text: string
  readonly fix: string
}

/** What is said of one technique on one table. */
export interface TechniqueAdvice {
  readonly technique: Technique
  /** 1 is the best. */
  readonly rank: number
  /** `ready`: one line of the config. `after setup`: when somebody has done what `needs` says. `no`: this source does not have it. */
  readonly possible: 'ready' | 'after setup' | 'no'
  readonly needs: readonly Need[]
  /** What would make it cheaper or safer, and is not needed. */
  readonly hints: readonly Need[]
  readonly misses: readonly Miss[]
  readonly cost: string
  /** How it would be configured, in the source's names; `null` when it cannot. */
  readonly change: ChangeDef | null
}

/** What a source said, for one of its tables. */
export interface TechniqueGiven {
  readonly asked: AskedTable & { readonly name: string }
  readonly source: SourceEvidence | null
  readonly evidence: TableEvidence | undefined
  readonly candidates: readonly Candidate[]
  /** The techniques that the source has beside those that only read: what each lacks, and whether it tells that a table is emptied at once. */
  readonly streams: ReadonlyMap<
    Technique,
    { readonly problems: readonly CaptureProblem[]; readonly truncates: boolean }
  >
  readonly seesTransactions: boolean
  readonly longestTransactionMs: number | null
  readonly nowMicros: bigint
}

/** How long a sweep may wait, and the lag where the source cannot tell its open transactions: values to begin with. */
const SWEEP_MS = 3_600_000
const LAG_MS_MIN = 60_000
const OVERLAP = 1_000n

/** Every technique for one table, the best first. */
export function techniquesFor(given: TechniqueGiven): readonly TechniqueAdvice[] {
  const said = techniqueNames.map(technique => ({ rank: 0, ...adviceOf(technique, given) }))
  return said
    .sort((a, b) => compare(orderOf(a, given), orderOf(b, given)))
    .map((advice, i) => ({ ...advice, rank: i + 1 }))
}

/**
 * What stays wrong counts most, then what a person must do first, then what comes late, then the cost. A technique that loses
 * what the evidence shows stands behind one that needs a setting, and so does one whose columns nothing but their names speak for.
 */
function orderOf(advice: Omit<TechniqueAdvice, 'rank'>, { evidence, candidates }: TechniqueGiven): readonly number[] {
  const of = (kind: Miss['kind']): number => advice.misses.filter(it => it.kind === kind).length
  const isSmall = evidence?.rows != null && evidence.rows <= 10_000n
  const costs: readonly Technique[] = isSmall
    ? ['log', 'full', 'trigger', 'combined', 'timestamp', 'version', 'event', 'status']
    : ['log', 'trigger', 'combined', 'timestamp', 'version', 'event', 'full', 'status']
  const place = costs.indexOf(advice.technique)
  const columns = advice.change === null ? [] : columnsOfChange(advice.change)
  const isUnseen = candidates.some(it => it.isUnseen && it.for !== 'status' && columns.includes(it.column))
  const setup = advice.possible === 'ready' && !isUnseen ? 0 : 1
  return [
    advice.possible === 'no' ? 1 : 0,
    of('lost') > 0 ? 1 : 0,
    setup,
    of('lost'),
    of('late') + of('unless') / 2,
    place,
  ]
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i])
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number)
}

function adviceOf(technique: Technique, given: TechniqueGiven): Omit<TechniqueAdvice, 'rank'> {
  const { change, needs, hints, isThere } = requirementsOf(technique, given)
  const facts = techniqueFacts[technique]
  const { evidence, candidates, seesTransactions } = given
  const misses = change === null ? [] : [...missesOf({ facts, change, evidence, candidates, seesTransactions })]
  // What a technique sees elsewhere this source may not tell.
  if (facts.sees.truncates === 'seen' && given.streams.get(technique)?.truncates === false)
    misses.push({ text: 'a table that is emptied at once (truncate)', kind: 'unless' })
  return {
    technique,
    possible: !isThere ? 'no' : needs.length > 0 ? 'after setup' : 'ready',
    needs,
    hints,
    misses,
    cost: costOf(technique, change === null ? [] : columnsOfChange(change), given),
    change,
  }
}

interface Requirements {
  readonly isThere: boolean
  readonly change: ChangeDef | null
  readonly needs: readonly Need[]
  readonly hints: readonly Need[]
}

function requirementsOf(technique: Technique, given: TechniqueGiven): Requirements {
  switch (technique) {
    case 'full':
      return { isThere: true, change: { technique }, needs: [...readNeeds(given), ...keyNeeds(given)], hints: [] }
    case 'timestamp':
    case 'version':
    case 'combined':
      return cursor(technique, given)
    default:
      return stream(technique, given)
  }
}

function readNeeds({ asked, evidence, source }: TechniqueGiven): readonly Need[] {
  if (evidence !== undefined || source === null) return []
  return [
    {
      text: `"${asked.remote}" is not there, or nothing of it may be read`,
      fix: 'Correct its name, or grant select on it to the account.',
    },
  ]
}

/** Techniques that read by columns, and merge what they read by key. */
function cursor(technique: 'timestamp' | 'version' | 'combined', given: TechniqueGiven): Requirements {
  const { candidates, evidence, source, seesTransactions, asked } = given
  const best = (kind: Candidate['for']): Candidate | undefined => candidates.find(it => it.for === kind && it.isLikely)
  const [time, version, flag] = [best('timestamp'), best('version'), best('status')]
  // A flag shows its rows until somebody sets it back, so it stands in only where a time or a number is missing.
  const both = time !== undefined && version !== undefined ? [time, version] : [time, version, flag]
  const chosen = (technique === 'timestamp' ? [time] : technique === 'version' ? [version] : both).filter(
    it => it !== undefined,
  )
  const needs = [...readNeeds(given), ...keyNeeds(given)]
  const hints: Need[] = chosen.flatMap(({ column, makeIndex }) =>
    makeIndex === null
      ? []
      : [{ text: `"${column}" has no index: every read passes over the whole table`, fix: makeIndex }],
  )
  if (!seesTransactions && source !== null) {
    hints.push({
      text: 'the account does not see all open transactions, so the config must state how late rows may come',
      fix: source.seeTransactions,
    })
  }
  const missing = technique === 'combined' ? chosen.length < 2 : chosen.length === 0
  if (missing) {
    const script = evidence?.addStamp ?? []
    needs.push(
      technique === 'version'
        ? {
            text: `no column holds numbers that grow through the whole table with every change`,
            fix: 'Such a number takes a sequence that every writer uses: a time is simpler.',
          }
        : {
            text:
              technique === 'combined'
                ? 'it takes two columns of time, version and flag'
                : 'no column of time is known to move with changes',
            fix: script.length > 0 ? script.join('\n') : 'Add a column of time that every writer sets.',
          },
    )
    return { isThere: true, change: null, needs, hints }
  }
  const change = cursorChange(technique, { time, version, flag }, given)
  return { isThere: true, change: asked.key.length === 0 ? null : change, needs, hints }
}

interface Chosen {
  readonly time: Candidate | undefined
  readonly version: Candidate | undefined
  readonly flag: Candidate | undefined
}

function cursorChange(
  technique: 'timestamp' | 'version' | 'combined',
  { time, version, flag }: Chosen,
  { seesTransactions, longestTransactionMs }: TechniqueGiven,
): ChangeDef {
  const deletes = { kind: 'sweep', everyMs: SWEEP_MS } as const
  // Twice what was seen: the longest transaction that happens to be open is hardly the longest of the day.
  const lagMs = seesTransactions ? null : Math.max(LAG_MS_MIN, 2 * (longestTransactionMs ?? 0))
  const overlap = seesTransactions ? null : OVERLAP
  const stamp = time === undefined ? null : { column: time.column, lagMs }
  const number = version === undefined ? null : { column: version.column, overlap }
  if (technique === 'timestamp' && stamp !== null) return { technique, ...stamp, deletes }
  if (technique === 'version' && number !== null) return { technique, ...number, deletes }
  const mark =
    flag?.flag == null || (stamp !== null && number !== null)
      ? null
      : { column: flag.column, pending: flag.flag.pending }
  return { technique: 'combined', timestamp: stamp, version: number, flag: mark, deletes }
}

function keyNeeds({ asked, evidence }: TechniqueGiven): readonly Need[] {
  if (asked.key.length > 0) return []
  const text = "it has no key: rows cannot be told apart (by the technique log it may be an append log: key: 'append')"
  return [{ text, fix: evidence?.addKey ?? 'Name a key in the config.' }]
}

/** Techniques that give a stream: the source itself says what it lacks. */
function stream(technique: 'status' | 'trigger' | 'event' | 'log', given: TechniqueGiven): Requirements {
  const { streams, asked, candidates } = given
  const found = streams.get(technique)?.problems
  if (found === undefined) {
    const fix = 'Choose another technique for its tables.'
    return { isThere: false, change: null, needs: [{ text: 'this source has no such stream', fix }], hints: [] }
  }
  const own = found.filter(it => it.table === null || it.table === asked.name)
  const needs = own.filter(it => it.isFatal).map(({ text, fix }) => ({ text, fix }))
  const hints = own.filter(it => !it.isFatal).map(({ text, fix }) => ({ text, fix }))
  if (technique === 'event') {
    const text = 'the application must write every change into the outbox, in the transaction that makes it'
    needs.push({ text, fix: 'See docs/guide/outbox.md.' })
  }
  if (technique === 'log' && asked.key.length === 0) {
    const text = 'it has no key: by this technique it is an append log of its changes'
    hints.push({ text, fix: "Write key: 'append' into its schema module." })
  }
  if (technique !== 'status') return { isThere: true, change: { technique }, needs, hints }
  const flag = candidates.find(it => it.for === 'status')
  if (flag?.flag == null) {
    const fix = 'Add a flag that every writer sets with each change, with an index.'
    return {
      isThere: true,
      change: null,
      needs: [...keyNeeds(given), { text: 'no column looks like a flag', fix }],
      hints,
    }
  }
  const change = { technique, flag: { column: flag.column, ...flag.flag }, deletes: { kind: 'keep' } } as const
  return { isThere: true, change, needs: [...keyNeeds(given), ...needs], hints }
}
