import type { RunEvent } from '../../core/events.ts'
import type { LiveStatus, LiveTable } from '../live/status-types.ts'
import type { OpenProject } from '../project.ts'
import { tableFaults } from '../faults.ts'
import { keyOf } from '../told-once.ts'
import type { ServerEvent, ServerReport, Trouble } from './report.ts'
import type { Alarm } from './watchdog.ts'

/** How often it is told how many rows went through the stages: ticks are several a second. */
const TELL_ROWS_MS = 10_000
type Note = RunEvent & { readonly kind: 'note' }

/** A note as the server tells it. */
export function told({ kind, level, text, code }: Note): ServerEvent {
  return { kind, level, text, code: code ?? null }
}

/** What the server knows of itself. */
export interface State {
  status: LiveStatus | null
  troubles: readonly Trouble[]
  /** Why the loop as a whole ended and begins anew. */
  broken: Trouble | null
  /** What begins and has not ended: reads go on beside ticks. */
  readonly steps: Set<string>
  alarms: readonly Alarm[]
  lastError: ServerReport['lastError']
  readonly beganMicros: bigint
  note(level: 'info' | 'warn' | 'error', text: string, code: string | null): void
  /** Tells what went through the stages, unless that was done just now. */
  tellRows(): void
  emit(event: RunEvent): void
}

/** Of a server that begins now. */
export function makeState(open: OpenProject, tell: (event: ServerEvent) => void): State {
  const { clock } = open.env
  // What differs in the shape of a table is met again whenever its stream is opened.
  const shapes = new Set<string>()
  const isKnownShape = (note: Note): boolean => {
    if (!tableFaults.some(it => it === note.code)) return false
    const key = keyOf(note)
    const isKnown = shapes.has(key)
    shapes.add(key)
    return isKnown
  }
  const rows = new Map<string, number>()
  let toldRowsAt = -TELL_ROWS_MS
  const state: State = {
    status: null,
    troubles: [],
    broken: null,
    steps: new Set(),
    alarms: [],
    lastError: null,
    beganMicros: clock.nowMicros(),
    note: (level, text, code) => {
      if (level === 'error') state.lastError = { code: code ?? 'INTERNAL', text, atMicros: clock.nowMicros() }
      tell({ kind: 'note', level, text, code })
    },
    tellRows: () => {
      const nowMs = clock.monotonicMs()
      if (rows.size === 0 || nowMs < toldRowsAt + TELL_ROWS_MS) return
      toldRowsAt = nowMs
      for (const [step, n] of rows) tell({ kind: 'note', level: 'info', text: `${step}: ${n} rows`, code: null })
      rows.clear()
    },
    emit: event => {
      if (event.kind === 'step') {
        if (event.state === 'begin') state.steps.add(event.step)
        else state.steps.delete(event.step)
        if (event.state === 'end' && (event.rows ?? 0) > 0)
          rows.set(event.step, (rows.get(event.step) ?? 0) + (event.rows ?? 0))
      }
      if (event.kind !== 'note' || isKnownShape(event)) return
      // What fails was told when it began, and is told when it goes well again: not with each try.
      if (state.troubles.some(it => it.code === event.code && it.text === event.cause)) return
      tell(told(event))
    },
  }
  return state
}

/** Says once what began to fail, and once that it goes well again. */
export function onStatus(open: OpenProject, state: State, now: LiveStatus): void {
  const failing = failingIn(now)
  const nowMicros = open.env.clock.nowMicros()
  const before = state.troubles
  state.status = now
  for (const { source, trouble } of now.sources) {
    // A read that failed has no end of its own.
    for (const step of state.steps)
      if (trouble !== null && step.startsWith(`interface ${source}.`)) state.steps.delete(step)
  }
  state.broken = null
  state.troubles = failing.map(it => {
    const known = before.find(({ what, code }) => what === it.what && code === it.code)
    return { ...it, sinceMicros: known?.sinceMicros ?? nowMicros }
  })
  for (const { what, code, text, fix, isRetried } of state.troubles) {
    if (before.some(it => it.what === what && it.code === code)) continue
    const then = isRetried ? 'it is tried again' : `it stands still until that is mended, the others go on. ${fix}`
    state.note('error', `${what}: ${text}; ${then}`, code)
  }
  for (const { what } of before) {
    if (!state.troubles.some(it => it.what === what)) state.note('info', `${what} goes well again`, null)
  }
}

/** Streams, polls and tables that fail: what stops a stream is told once, and not for each of its tables. */
function failingIn({ sources, tables }: LiveStatus): readonly Omit<Trouble, 'sinceMicros'>[] {
  const ofSources = sources.flatMap(({ source, technique, trouble }) => {
    if (trouble === null) return []
    const { code, text, fix, failures, againMicros } = trouble
    const tried = againMicros === null ? {} : { failures, againMicros }
    return [{ what: `${source} (${technique})`, code, text, fix, isRetried: againMicros !== null, ...tried }]
  })
  const isOfSource = ({ table, technique, error }: LiveTable): boolean =>
    sources.some(
      it => it.trouble?.code === error?.code && it.technique === technique && table.startsWith(`${it.source}.`),
    )
  const ofTables = tables.flatMap(it => (it.error === null || isOfSource(it) ? [] : [{ what: it.table, ...it.error }]))
  return [...ofSources, ...ofTables]
}
