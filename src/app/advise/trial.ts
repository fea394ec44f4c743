import path from 'node:path'
import type { Technique } from '../../config/change.ts'
import type { SourceDef } from '../../config/model.ts'
import { fail, isNaruError, messageOf } from '../../core/errors.ts'
import { columnsOfChange } from '../../run/technique.ts'
import type { CapturedTable, CaptureTechnique } from '../../services/adapter/contract-capture.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import type { AdvicePlace, TableAdvice } from './advise.ts'
import { countOf, tooLarge, TRIAL_VALUES_MAX, TableCopy, type Difference } from './copy.ts'
import type { TechniqueAdvice } from './techniques.ts'
import { forgetInstalled, readInstalled, rememberStream } from '../stream/installed.ts'
import { CursorTrial } from './trial-cursor.ts'
import { openTrialSource } from './trial-source.ts'
import { StreamTrial } from './trial-stream.ts'

const POLL_MS = 1_000
/** Removing what was installed does not wait for ever, also when the trial itself was ended. */
const REMOVE_MS = 30_000

/** What a trial is asked for. */
export interface TrialGiven {
  readonly advice: TableAdvice
  readonly seconds: number
  /** Also techniques that make something at the source. */
  readonly install: boolean
}

/** How one technique did. */
export interface TrialResult extends Difference {
  readonly technique: Technique
  /** The columns that it went by. */
  readonly columns: readonly string[]
  /** Rows and changes that it took, the first copy included. */
  readonly taken: number
  /** Why it did not come to its end; then nothing is known of its copy. */
  readonly problem: string | null
}

/** How the techniques did on a table. */
export interface TrialReport {
  readonly table: string
  readonly seconds: number
  /** Rows of the table at the end. */
  readonly rows: number
  readonly results: readonly TrialResult[]
  readonly left: readonly { readonly technique: Technique; readonly why: string }[]
}

/** Lets each possible technique keep a copy of a table while others write to it, and compares the copies with the table. */
export async function tryTechniques(
  place: AdvicePlace,
  source: SourceDef,
  given: TrialGiven,
  signal: AbortSignal,
): Promise<TrialReport> {
  const { advice } = given
  const { named, adapter } = await openTrialSource(place, source)
  const streams = new Map<CaptureTechnique, StreamTrial>()
  const installed: CaptureTechnique[] = []
  try {
    assertPossible(adapter, advice)
    const left: { technique: Technique; why: string }[] = []
    const chosen: TechniqueAdvice[] = []
    for (const technique of advice.techniques) {
      const why = await whyLeft(adapter, technique, given, signal)
      if (why === null) chosen.push(technique)
      else left.push({ technique: technique.technique, why })
    }
    const table: CapturedTable = { ...advice, name: advice.remote }
    for (const { technique } of chosen) {
      const captures = adapter.captures?.[technique as CaptureTechnique]
      if (!isStream(technique) || captures === undefined) continue
      installed.push(technique)
      // Killed before it removes this, it has left it there: `naru check` tells.
      const remember = (position: string): Promise<void> =>
        rememberStream(place, { def: { source: named, technique }, adapter, captures, tables: [table] }, position)
      const spillDir = path.join(place.stateDir, 'trial', technique)
      streams.set(technique, await StreamTrial.open({ env: place.env, captures, table, spillDir, remember }, signal))
    }
    const cursors = chosen.flatMap(({ change }) =>
      change === null || isStream(change.technique) ? [] : [new CursorTrial(table, source.name, change)],
    )
    const trial = { adapter, table, streams, cursors, clock: place.env.clock, seconds: given.seconds }
    return { table: advice.table, seconds: given.seconds, left, ...(await follow(trial, signal)) }
  } finally {
    await Promise.all([...streams.values()].map(it => it.close()))
    for (const technique of installed) {
      await adapter.captures?.[technique]?.remove(AbortSignal.timeout(REMOVE_MS), [advice.remote])
      await forgetTrial(place, { source: named.name, technique })
    }
    await adapter.close()
  }
}

async function forgetTrial(
  place: AdvicePlace,
  { source, technique }: { readonly source: string; readonly technique: CaptureTechnique },
): Promise<void> {
  for (const it of await readInstalled(place)) {
    if (it.source !== source || it.technique !== technique) continue
    await forgetInstalled(
      place,
      it,
      it.tables.map(table => table.remote),
    )
  }
}

function assertPossible({ tables }: Adapter, { table, key, evidence, columns }: TableAdvice): void {
  if (tables === undefined || key.length === 0) {
    const problem = tables === undefined ? 'its source gives no rows' : 'it has no key, so copies cannot be compared'
    throw fail('TRIAL_NOT_POSSIBLE', { table, problem })
  }
  if (evidence?.rows != null && Number(evidence.rows) * columns.length > 2 * TRIAL_VALUES_MAX) {
    throw tooLarge(table, columns.length)
  }
}

function isStream(technique: Technique | 'files'): technique is CaptureTechnique {
  return technique === 'log' || technique === 'trigger' || technique === 'event' || technique === 'status'
}

/** Why a technique is not tried; `null` when it is. */
async function whyLeft(
  adapter: Adapter,
  { technique, possible, needs, change }: TechniqueAdvice,
  { install }: TrialGiven,
  signal: AbortSignal,
): Promise<string | null> {
  if (technique === 'full') return 'it reads what the others are compared with'
  if (technique === 'status') return 'it would claim rows of the application'
  if (technique === 'event') return 'it depends on what the application writes into its outbox'
  if (possible !== 'ready' || change === null) return needs[0]?.text ?? 'it is not possible'
  if (!isStream(technique) || adapter.advises?.installsNothing.includes(technique) === true) return null
  if (!install) return 'it makes something at the source: --install allows it'
  return technique === 'trigger' && (await isInstalled(adapter, technique, signal))
    ? 'it is installed there already, and a trial would remove it'
    : null
}

async function isInstalled(adapter: Adapter, technique: CaptureTechnique, signal: AbortSignal): Promise<boolean> {
  try {
    await adapter.captures?.[technique]?.head(signal)
    return true
  } catch (error) {
    if (isNaruError(error, 'CAPTURE_NOT_READY')) return false
    throw error
  }
}

interface Trial {
  readonly adapter: Adapter
  readonly table: CapturedTable
  readonly streams: ReadonlyMap<CaptureTechnique, StreamTrial>
  readonly cursors: readonly CursorTrial[]
  readonly clock: AdvicePlace['env']['clock']
  readonly seconds: number
}

async function follow(trial: Trial, signal: AbortSignal): Promise<Pick<TrialReport, 'rows' | 'results'>> {
  const { streams, cursors, clock, seconds } = trial
  const over = new AbortController()
  const problems = new Map<CaptureTechnique, string>()
  await withSnapshot(trial, signal, async read => {
    for (const { copy } of streams.values()) await read(copy)
  })
  const following = [...streams].map(([technique, stream]) =>
    stream.follow(over.signal).catch((error: unknown) => void problems.set(technique, messageOf(error))),
  )
  try {
    const endMs = clock.monotonicMs() + seconds * 1000
    do {
      await withSnapshot(trial, signal, async (_, snapshot) => {
        for (const cursor of cursors) await cursor.poll(snapshot, signal)
      })
      await clock.sleep(Math.max(0, Math.min(POLL_MS, endMs - clock.monotonicMs())), signal)
    } while (clock.monotonicMs() < endMs)
  } finally {
    over.abort()
  }
  await Promise.all(following)
  // The last poll and the comparison are of one moment: the writers need not stop for it.
  const truth = new TableCopy(trial.table)
  await withSnapshot(trial, signal, async (read, snapshot) => {
    for (const cursor of cursors) await cursor.poll(snapshot, signal)
    await read(truth)
  })
  const results: TrialResult[] = cursors.map(({ change, copy }) => ({
    technique: change.technique as Technique,
    columns: columnsOfChange(change),
    taken: copy.taken,
    ...countOf(copy.differences(truth)),
    problem: null,
  }))
  for (const [technique, stream] of streams)
    results.push(await streamResult(technique, stream, { truth, problems }, signal))
  return { rows: truth.size, results }
}

async function streamResult(
  technique: CaptureTechnique,
  stream: StreamTrial,
  { truth, problems }: { readonly truth: TableCopy; readonly problems: ReadonlyMap<CaptureTechnique, string> },
  signal: AbortSignal,
): Promise<TrialResult> {
  const said = { technique, columns: [] }
  const broken = (problem: string): TrialResult => ({
    ...said,
    taken: stream.copy.taken,
    lost: 0,
    stale: 0,
    ghost: 0,
    problem,
  })
  const problem = problems.get(technique)
  if (problem !== undefined) return broken(problem)
  try {
    const differences = await stream.compare(truth, signal)
    return { ...said, taken: stream.copy.taken, ...countOf(differences), problem: null }
  } catch (error) {
    signal.throwIfAborted()
    return broken(messageOf(error))
  }
}

/** Gives a view of the source, and a way to read the whole table in it. */
async function withSnapshot(
  { adapter, table }: Trial,
  signal: AbortSignal,
  work: (
    read: (copy: TableCopy) => Promise<void>,
    snapshot: Awaited<ReturnType<NonNullable<Adapter['tables']>['openSnapshot']>>,
  ) => Promise<void>,
): Promise<void> {
  if (adapter.tables === undefined) return
  const snapshot = await adapter.tables.openSnapshot(signal)
  try {
    await snapshot.look(table.remote)
    const names = table.columns.map(({ name }) => name)
    await work(async copy => {
      for await (const { batch } of snapshot.read(table, names, {}, signal)) copy.take(batch, names)
    }, snapshot)
  } finally {
    await snapshot.close()
  }
}
