import { withDeadline } from '../../core/env.ts'
import { fail, type NaruError } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { Leftovers } from '../../services/adapter/contract-capture.ts'
import { openTrialSource, trialName } from '../advise/trial-source.ts'
import { openSource } from '../extract.ts'
import type { OpenProject } from '../project.ts'
import type { AdapterImplementation } from '../registry.ts'
import { forgetInstalled, readInstalled, type Remembered } from '../stream/installed.ts'
import { streamsOf } from '../stream/streams.ts'

/** Longest wait for a source to say what is left at it. */
const answerMs = 5_000

type LookedAt = Pick<OpenProject, 'project' | 'secret' | 'configDir' | 'stateDir' | 'env'>

/** Something that streams of this project made at a source, and nothing uses any more. */
export interface LeftBehind {
  readonly where: string
  readonly error: NaruError
}

/**
 * What techniques that were left, tables that were left out and sources that left the config have left at their sources. A
 * source is asked only when there is something that this project made there and follows no more; nothing of other projects
 * is named. With `forgets`, for who holds the lease, what is gone at the source is forgotten. Throws only what `signal` says.
 */
export async function leftBehind(
  open: LookedAt,
  given: {
    readonly signal: AbortSignal
    readonly forgets?: boolean
    readonly adapters?: Readonly<Record<string, AdapterImplementation>> | undefined
  },
): Promise<readonly LeftBehind[]> {
  try {
    const found: LeftBehind[] = []
    for (const it of await leftOf(open)) {
      const left = await lookAt(open, it, given)
      const { source, technique } = it.installed
      found.push(...left.errors.map(error => ({ where: `source ${source}, ${technique}`, error })))
      if (given.forgets === true) await forgetInstalled(open, it.installed, left.gone)
    }
    return found
  } catch (error) {
    given.signal.throwIfAborted()
    return [{ where: 'what was installed at sources', error: knownError(error) }]
  }
}

/** Tells it as notes, for who reads the sources. */
export async function tellLeftBehind(
  open: LookedAt,
  given: Parameters<typeof leftBehind>[1] & { readonly emit: Emit },
): Promise<void> {
  for (const { error } of await leftBehind(open, { ...given, forgets: true }))
    given.emit({ kind: 'note', level: 'warn', text: `${error.message}. ${error.fix}`, code: error.code })
}

interface Left {
  readonly installed: Remembered
  readonly remotes: readonly string[]
  /** No table is followed by its stream any more. */
  readonly isWhole: boolean
}

/** By the config alone: mostly nothing. */
async function leftOf(open: LookedAt): Promise<readonly Left[]> {
  const known = await readInstalled(open)
  return known.flatMap(installed => {
    const { source, technique, tables } = installed
    const def = streamsOf(open.project.sources).find(it => it.source.name === source && it.technique === technique)
    const followed = new Set(def?.tables.map(table => table.remote))
    const remotes = tables.map(it => it.remote).filter(remote => !followed.has(remote))
    const places = known.filter(it => it.source === source && it.technique === technique).length
    if (def !== undefined && remotes.length === 0 && places === 1) return []
    return [{ installed, remotes, isWhole: def === undefined }]
  })
}

async function lookAt(
  open: LookedAt,
  left: Left,
  given: Parameters<typeof leftBehind>[1],
): Promise<{ readonly errors: readonly NaruError[]; readonly gone: readonly string[] }> {
  const { installed, remotes } = left
  const { source, technique } = installed
  const answer = await ask(open, left, given).catch((error: unknown): Leftovers => {
    given.signal.throwIfAborted()
    return { kind: 'unseen', problem: knownError(error).message }
  })
  if (answer.kind === 'gone') return { errors: [], gone: remotes }
  if (answer.kind === 'read') return { errors: [], gone: [] }
  if (answer.kind === 'unseen') return { errors: [unseen(installed, answer.problem)], gone: [] }
  const errors = answer.found.map(({ what, keeps, by = 'the owner of the tables', remove }) =>
    fail('CAPTURE_LEFT', { source, technique, what, keeps, by, remove: remove.join(' ') }),
  )
  const there = answer.found.flatMap(it => it.remotes)
  return { errors, gone: there.length === 0 ? [] : remotes.filter(remote => !there.includes(remote)) }
}

async function ask(
  open: LookedAt,
  { installed, remotes, isWhole }: Left,
  { signal, adapters }: Parameters<typeof leftBehind>[1],
): Promise<Leftovers> {
  const { source: name, technique, kind, place, position } = installed
  const source = open.project.sources.find(it => it.name === name)
  const tried = open.project.sources.find(it => trialName(it.name) === name)
  const found = source ?? tried
  if (found === undefined) return { kind: 'unseen', problem: 'the source is in the configuration no more' }
  const isTrial = source === undefined
  const adapter = isTrial
    ? (await openTrialSource(open, found, adapters)).adapter
    : await openSource(open, found, adapters)
  try {
    const captures = adapter.captures?.[technique]
    if (adapter.kind !== kind || captures?.leftovers === undefined)
      return { kind: 'unseen', problem: `the source is one of ${adapter.kind} now` }
    if (captures.place !== place) {
      const problem = `the source is at ${captures.place} now. Where both are the same and the stream goes on, nothing is left, and there is nothing to remove`
      return { kind: 'unseen', problem }
    }
    // A second place of the same stream, which still goes on here.
    if (remotes.length === 0 && !isWhole) return { kind: 'read' }
    const limit = { what: `source "${name}"`, ms: answerMs, signal }
    const left = { position, remotes, isWhole }
    return await withDeadline(open.env, limit, async until => (await captures.leftovers?.(left, until)) as Leftovers)
  } finally {
    await adapter.close()
  }
}

function unseen({ source, technique, place, remove, file }: Remembered, problem: string): NaruError {
  return fail('CAPTURE_LEFT_UNSEEN', { source, technique, place, problem, remove: remove.join(' '), file })
}
