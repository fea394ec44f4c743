import type { Clock } from '../core/env.ts'
import type { Emit, RunEvent } from '../core/events.ts'
import type { Output } from './command.ts'
import { count, seconds } from './format.ts'

/** How often a line is redrawn on a terminal, and how often one is written elsewhere. */
const redrawMs = 100
const plainMs = 5_000
/** Short enough that the time left still fits into 80 columns. */
const barWidth = 10

/** Shows events as they come: a bar with rows/s and time left on a terminal, plain lines elsewhere. */
export function progress(output: Output, clock: Clock): Emit {
  const tell = shown(output, clock)
  return event => {
    if (event.kind === 'step') output.step = event.state === 'begin' ? event.step : null
    tell(event)
  }
}

function shown(output: Output, clock: Clock): Emit {
  if (output.quiet) return event => showNote(output, event)
  const began = new Map<string, number>()
  let shownAtMs = Number.NEGATIVE_INFINITY
  return event => {
    switch (event.kind) {
      case 'note':
        return showNote(output, event)
      case 'step':
        if (event.state === 'begin') began.set(event.step, clock.monotonicMs())
        shownAtMs = clock.monotonicMs()
        return showStep(output, event)
      case 'rows': {
        const nowMs = clock.monotonicMs()
        const beganMs = began.get(event.step) ?? nowMs
        began.set(event.step, beganMs)
        if (nowMs - shownAtMs < (output.live ? redrawMs : plainMs)) return
        shownAtMs = nowMs
        const line = rowsLine(event, nowMs - beganMs)
        if (output.live) output.redraw(line)
        else output.note(line)
      }
    }
  }
}

function showNote(output: Output, event: RunEvent): void {
  if (event.kind !== 'note') return
  if (event.level === 'warn') output.note(`warning: ${event.text}`)
  else if (!output.quiet) output.note(event.text)
}

function showStep(output: Output, event: Extract<RunEvent, { kind: 'step' }>): void {
  if (event.state === 'begin') {
    if (output.live) output.redraw(`  ${event.step} …`)
    return
  }
  const rows = event.rows === undefined ? '' : `  ${count(event.rows)} rows`
  // Where nothing moved there is nothing to tell.
  if (event.rows === 0) return
  output.note(`  ${event.step.padEnd(40)} ${seconds(event.ms ?? 0).padStart(8)}${rows}`)
}

function rowsLine(event: Extract<RunEvent, { kind: 'rows' }>, ms: number): string {
  const perSecond = ms > 0 ? (event.done / ms) * 1000 : 0
  const speed = `${count(Math.round(perSecond))} rows/s`
  if (event.total === null || event.total <= 0) return `  ${event.step}  ${count(event.done)} rows  ${speed}`
  const share = Math.min(1, event.done / event.total)
  const left = perSecond > 0 ? `${seconds(((event.total - event.done) / perSecond) * 1000)} left` : ''
  const filled = Math.round(share * barWidth)
  const bar = '█'.repeat(filled) + '░'.repeat(barWidth - filled)
  return `  ${event.step}  ${bar} ${String(Math.round(share * 100)).padStart(3)} %  ${count(event.done)} rows  ${speed}  ${left}`
}
