import { daysText, microsText } from '../core/cell-text.ts'
import { count, figure } from './format.ts'
import { html, type Html } from './html.ts'
import type { Histogram } from './model.ts'

const HEIGHT = 40
const STEP = 8

/** A small histogram: bars with a text that says the same. A bucket that is not empty is never invisible. */
export function histogram(it: Histogram): Html {
  const most = Math.max(...it.counts, 1)
  const bars = it.counts.flatMap((rows, i) => {
    if (rows === 0) return []
    const height = Math.max(1.5, (HEIGHT * rows) / most)
    const at = html`x="${i * STEP}" y="${(HEIGHT - height).toFixed(1)}"`
    const label = html`<title>${bucketText(it, i)}: ${count(rows)}</title>`
    return [html`<rect ${at} width="${STEP - 1.5}" height="${height.toFixed(1)}">${label}</rect>`]
  })
  const width = Math.max(1, it.counts.length) * STEP
  const box = html`viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" preserveAspectRatio="none"`
  const [from, to] = [boundText(it, it.from), boundText(it, endOf(it))]
  return html`<figure class="histogram">
    <svg ${box} role="img" aria-label="${summaryText(it)}">${bars}</svg>
    <figcaption aria-hidden="true"><span>${from}</span><span>${to}</span></figcaption>
  </figure>`
}

function endOf({ from, width, counts }: Histogram): number {
  return from + width * counts.length
}

function summaryText(it: Histogram): string {
  const most = it.counts.indexOf(Math.max(...it.counts))
  const range = `${boundText(it, it.from)} to ${boundText(it, endOf(it))}`
  return `Histogram from ${range}; most rows at ${bucketText(it, most)}`
}

function bucketText(it: Histogram, i: number): string {
  const from = it.from + it.width * i
  return it.counts.length === 1 ? boundText(it, from) : `${boundText(it, from)} to ${boundText(it, from + it.width)}`
}

function boundText({ unit, width }: Histogram, bound: number): string {
  if (unit === 'value') return figure(Number(bound.toPrecision(12)))
  const micros = Math.round(bound)
  // Buckets of a day or more need no time of day.
  if (width >= 86_400_000_000) return daysText(Math.floor(micros / 86_400_000_000))
  return microsText(BigInt(micros), false).slice(0, 16)
}
