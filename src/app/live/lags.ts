import { fail } from '../../core/errors.ts'
import { withDeadline, type Env } from '../../core/env.ts'
import type { Emit } from '../../core/events.ts'
import { knownError } from '../../core/known-error.ts'
import type { CaptureLag } from '../../services/adapter/contract-capture.ts'
import type { OpenStream } from '../stream/session.ts'

/** How often a source is asked what it keeps for us. */
const askMs = 10_000
/** Longest wait for its answer. */
const answerMs = 10_000
/** Bytes that a source may keep for us before it is an alarm, unless its config says otherwise: 1 GiB. */
const alarmBytesDefault = 1024 ** 3

/** What sources keep for us, asked from time to time: their disks fill when we do not come along. */
export class Lags {
  readonly #found = new Map<string, CaptureLag>()
  readonly #alarms = new Set<string>()

  /** As the source said last; `null` before that. */
  of({ def }: OpenStream): CaptureLag | null {
    return this.#found.get(`${def.source.name} ${def.technique}`) ?? null
  }

  /** Asks until the signal ends it; `onFound` is called after each round. Never throws. */
  async keepAsking(given: {
    readonly env: Env
    readonly emit: Emit
    readonly signal: AbortSignal
    readonly streams: () => readonly OpenStream[]
    readonly onFound: () => void
  }): Promise<void> {
    const { env, signal, emit } = given
    while (!signal.aborted) {
      for (const stream of given.streams()) await this.#ask(stream, { env, signal, emit })
      given.onFound()
      await env.clock.sleep(askMs, signal).catch(() => {})
    }
  }

  async #ask(
    stream: OpenStream,
    { env, signal, emit }: { readonly env: Env; readonly signal: AbortSignal; readonly emit: Emit },
  ): Promise<void> {
    const { source, technique } = stream.def
    const key = `${source.name} ${technique}`
    try {
      const limit = { what: `source "${source.name}"`, ms: answerMs, signal }
      const lag = await withDeadline(env, limit, until => stream.reader.lag(until))
      // Without a connection the last answer stands, and the reader tells why there is none.
      if (lag === null) return
      this.#found.set(key, lag)
      const problem = problemOf(lag, source.lagAlarmBytes ?? alarmBytesDefault)
      if (problem === null) return this.#well(key, source.name, emit)
      if (this.#alarms.has(key)) return
      this.#alarms.add(key)
      const { message, fix, code } = fail('STREAM_LAG', { source: source.name, technique, problem })
      emit({ kind: 'note', level: 'error', text: `${message}. ${fix}`, code })
    } catch (error) {
      if (signal.aborted || stream.reader.status().state !== 'reading') return
      const { message, code } = knownError(error)
      const text = `source "${source.name}" does not say what it keeps for us: ${message}`
      emit({ kind: 'note', level: 'warn', text, code })
    }
  }

  #well(key: string, source: string, emit: Emit): void {
    if (!this.#alarms.delete(key)) return
    emit({
      kind: 'note',
      level: 'info',
      text: `source "${source}" no longer keeps too much for us`,
      code: 'STREAM_LAG',
    })
  }
}

/** Why the lag is an alarm; `null` when it is none. */
export function problemOf({ bytes, bytesLeft, trouble }: CaptureLag, alarmBytes: number): string | null {
  if (trouble !== null) return trouble
  if (bytes === null) return null
  if (bytesLeft !== null && bytes > bytesLeft) return `${bytes} bytes, and ${bytesLeft} more before it lets go of them`
  return bytes > BigInt(alarmBytes) ? `${bytes} bytes; lagAlarmBytes is ${alarmBytes}` : null
}
