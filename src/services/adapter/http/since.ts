import type { SinceFormat } from './index.ts'

const units: Readonly<Record<SinceFormat, bigint>> = {
  iso: 1000n,
  'iso-seconds': 1_000_000n,
  date: 86_400_000_000n,
  unix: 1_000_000n,
  'unix-ms': 1000n,
}

/** A moment as a query has it, cut to what its format can say: earlier at most, never later. */
export function sinceText(micros: bigint, format: SinceFormat): string {
  const unit = units[format]
  const cut = ((micros - (((micros % unit) + unit) % unit)) / unit) * unit
  if (format === 'unix') return String(cut / 1_000_000n)
  if (format === 'unix-ms') return String(cut / 1000n)
  const iso = new Date(Number(cut / 1000n)).toISOString()
  if (format === 'date') return iso.slice(0, 10)
  return format === 'iso' ? iso : `${iso.slice(0, 19)}Z`
}
