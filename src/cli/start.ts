import path from 'node:path'
import type { ServerEvent } from '../app/server/report.ts'
import { startServer } from '../app/server/start.ts'
import { microsText } from '../core/cell-text.ts'
import { fail } from '../core/errors.ts'
import type { Call, Output } from './command.ts'
import { interruption, jsonText, projectOf } from './context.ts'
import { visible } from './format.ts'

/** A server that has not ended so long after it was asked to is cut off: what is not committed is rolled back anyway. */
const END_MS_MAX = 9_000

/** `naru start`: keeps the project up to date until it is stopped. */
export async function run(call: Call): Promise<number> {
  const { output } = call
  const seconds = Number(call.flag('alarm') ?? 60)
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw fail('USAGE', { problem: '--alarm takes a whole number of seconds above 0' })
  }
  const open = await projectOf(call)
  const signal = interruption()
  const tell = teller(output, () => secondText(open.env.clock.nowMicros()))
  let isEnding = false
  const ending = (): void => {
    if (isEnding) return
    isEnding = true
    const late = `it did not end within ${END_MS_MAX / 1000} s and is cut off; what was not committed is rolled back`
    open.env.clock.every(END_MS_MAX, () => {
      tell({ kind: 'note', level: 'error', text: late, code: 'DEADLINE' })
      process.exit(1)
    })
  }
  signal.addEventListener('abort', ending)
  const { inFlight } = await startServer(open, { signal, tell, ending, stallMs: seconds * 1000 })
  if (output.json) output.print(jsonText({ ok: true, kind: 'stopped', inFlight }))
  else
    output.print(
      inFlight === null ? 'Stopped.' : `Stopped. Taken back, and done again by the next start: ${visible(inFlight)}`,
    )
  return 0
}

/** `2026-11-21 20:39:31+00`. */
function secondText(micros: bigint): string {
  return microsText(micros - (micros % 1_000_000n), true)
}

/** One line on stdout when it is ready; then what happens, with its time in UTC, on stderr, or all of it as JSON on stdout. */
function teller(output: Output, now: () => string): (event: ServerEvent) => void {
  return event => {
    const at = now()
    if (output.json) return output.print(jsonText({ ...event, at }))
    if (event.kind === 'ready') {
      const shown = path.relative(process.cwd(), event.address)
      return output.print(
        `Ready at ${visible(shown)}, process ${event.process}. \`naru status\` shows it, \`naru stop\` ends it.`,
      )
    }
    if (event.level === 'info') return output.quiet ? undefined : output.note(`${at} ${event.text}`)
    output.note(
      `${at} ${event.level === 'warn' ? 'warning' : 'error'}: ${event.text}${event.code === null ? '' : ` [${event.code}]`}`,
    )
  }
}
