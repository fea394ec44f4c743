import type { ColumnDef } from '../../core/types.ts'
import type { AskedTable, ColumnEvidence, TableEvidence } from '../../services/adapter/contract-advice.ts'
import type { TableShape } from '../../services/adapter/contract.ts'

/** A column by which changes may be known, and what speaks for and against it. */
export interface Candidate {
  readonly column: string
  /** False for a column that only its type speaks for: it is told, and not chosen. */
  readonly isLikely: boolean
  readonly for: 'timestamp' | 'version' | 'status'
  readonly reasons: readonly string[]
  readonly doubts: readonly string[]
  /** Sampled rows whose writers left it alone; 0 when none was seen or the source cannot tell. */
  readonly behind: number
  /** Only its name and type speak for it: how it moves with writes could not be seen. */
  readonly isUnseen: boolean
  readonly makeIndex: string | null
  /** Rows without a value: no reader by this column sees them. */
  readonly nulls: number
  /** Of a flag: what a changed row has, and what it gets. */
  readonly flag: { readonly pending: string; readonly done: string } | null
}

const movesName =
  /(^|_)(updated?|modified|modification|changed?|touched|written|mtime|last_?(upd|mod|chang|writ|edit)\w*)(_|$)/i
const bornName =
  /(^|_)(created?|inserted?|born|birth|since|registered|ordered|issued|due|start(ed)?|end(ed)?|expires?)(_|$)/i
const versionName =
  /(^|_)(row_?)?(ver|version|revision|rev|seq|sequence|change_?(no|nr|num|number|id|seq)|lsn|scn|etag)(_|$)/i
const flagName =
  /(^|_)(status|state|flag|dirty|pending|synced|sync|processed|exported|sent|published|changed|transferred|loaded)(_|$)/i

/** Which columns of a table are worth a look at their values. */
export function columnsToAsk(shape: TableShape, hasTextTimes: boolean): AskedTable {
  const names = (is: (column: ColumnDef) => boolean): string[] => shape.columns.filter(is).map(it => it.name)
  return {
    ...shape,
    growing: names(it => isTime(it, hasTextTimes) || isVersion(it, shape)),
    // What a person is must not be listed.
    flags: names(
      it => !it.personal && flagName.test(it.name) && ['bool', 'int', 'text', 'enum'].includes(it.type.kind),
    ),
  }
}

function isTime({ type, name }: ColumnDef, hasTextTimes: boolean): boolean {
  return type.kind === 'timestamp' || (hasTextTimes && type.kind === 'text' && movesName.test(name))
}

function isVersion({ type, name }: ColumnDef, { key }: TableShape): boolean {
  return type.kind === 'int' && versionName.test(name) && !(key.length === 1 && key[0] === name)
}

/** Candidates of one table, the best of each kind first. */
export function candidatesOf(asked: AskedTable, evidence: TableEvidence | undefined): readonly Candidate[] {
  const { growing, flags } = asked
  const of = (name: string): ColumnEvidence | undefined => evidence?.columns.find(it => it.name === name)
  const weighed = [
    ...growing.map(name => weigh(asked, name, of(name))),
    ...flags.map(name => weighFlag(name, of(name))),
  ].filter(it => it !== null)
  return weighed.sort((a, b) => b.weight - a.weight).map(it => it.candidate)
}

interface Weighed {
  readonly weight: number
  readonly candidate: Candidate
}

function weigh(shape: TableShape, name: string, seen: ColumnEvidence | undefined): Weighed | null {
  const isNumber = shape.columns.find(it => it.name === name)?.type.kind === 'int'
  const reasons: string[] = []
  const doubts: string[] = []
  const isNamed = isNumber || movesName.test(name)
  let weight = isNamed ? 4 : 0
  if (isNamed) reasons.push(isNumber ? 'its name is that of a version' : 'its name says that it moves with changes')
  if (!isNumber && !isNamed && bornName.test(name)) {
    doubts.push('its name says that it is set once')
    weight -= 4
  }
  if (seen !== undefined) {
    if (seen.setBy !== null) {
      reasons.push(`the source sets it with every update (${seen.setBy})`)
      weight += 6
    }
    if (isNumber && seen.sampled > 20 && seen.distinct * 4 < seen.sampled) {
      // The counter of an optimistic lock goes up by one in its own row: a reader of the table cannot go by it.
      doubts.push(`it counts within each row: ${seen.distinct} values in ${seen.sampled} rows`)
      weight -= 20
    }
    if ((seen.behind ?? 0) > 0) {
      doubts.push(
        `${seen.behind} of ${seen.sampled} sampled rows were written after a row with a later value: writers left it alone, or gave old values`,
      )
      weight -= 1 + Math.min(5, (10 * (seen.behind ?? 0)) / seen.sampled)
    } else if (seen.behind === 0 && seen.distinct > 1) {
      reasons.push(`in ${seen.sampled} sampled rows it grew with every write`)
      weight += 2
    }
    if (seen.isOneWrite === true) {
      doubts.push('one transaction wrote all sampled rows: whether it moves with every write is not known')
    }
    if (seen.nulls > 0) {
      doubts.push(`${seen.nulls} of ${seen.sampled} sampled rows have none`)
      weight -= 2
    }
    if (seen.makeIndex === null) weight += 1
  }
  const candidate = candidateOf(isNumber ? 'version' : 'timestamp', name, seen, { reasons, doubts })
  return { weight, candidate: { ...candidate, isLikely: (isNamed || seen?.setBy != null) && weight > -4 } }
}

function weighFlag(name: string, seen: ColumnEvidence | undefined): Weighed | null {
  if (seen === undefined || seen.sampled === 0 || seen.distinct > 8 || seen.distinct < 2) return null
  const flag = flagOf(
    name,
    seen.values.map(([value]) => value),
  )
  if (flag === null) return null
  const reasons = [`its values are ${seen.values.map(([value, rows]) => `${value} (${rows})`).join(', ')}`]
  const candidate = candidateOf('status', name, seen, {
    reasons,
    doubts: ['whether every writer sets it is for you to say'],
  })
  return { weight: 1, candidate: { ...candidate, flag } }
}

const waits = /^(pending|new|dirty|changed|open|todo|ready|queued|waiting|unsent|n)$/i
const isOver = /^(done|sent|synced|processed|exported|clean|ok|published|loaded|transferred|y)$/i

/** What the values of a flag mean, by their words; `null` when they do not say. */
function flagOf(name: string, values: readonly string[]): Candidate['flag'] {
  const isPositive = /(dirty|pending|changed)/i.test(name)
  const isBoolean = values.every(it => ['t', 'f', 'true', 'false', '0', '1'].includes(it))
  if (isBoolean) {
    const isNumber = values.some(it => it === '0' || it === '1')
    const [yes, no] = isNumber ? (['1', '0'] as const) : (['true', 'false'] as const)
    if (/(status|state)/i.test(name)) return null
    return isPositive ? { pending: yes, done: no } : { pending: no, done: yes }
  }
  const [pending, done] = [values.find(it => waits.test(it)), values.find(it => isOver.test(it))]
  if (pending === undefined && done === undefined) return null
  return { pending: pending ?? 'pending', done: done ?? 'done' }
}

function candidateOf(
  technique: Candidate['for'],
  column: string,
  seen: ColumnEvidence | undefined,
  said: Pick<Candidate, 'reasons' | 'doubts'>,
): Candidate {
  return {
    column,
    isLikely: true,
    for: technique,
    ...said,
    behind: seen?.behind ?? 0,
    isUnseen: seen?.isOneWrite === true && seen.setBy === null,
    makeIndex: seen?.makeIndex ?? null,
    nulls: seen?.nulls ?? 0,
    flag: null,
  }
}
