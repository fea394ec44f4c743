import { daysOfDate } from '../../core/dates.ts'

/** Days since 1970-01-01 of `2026-11-01`, or `null` when there is no such day. */
export function daysOf(text: string): number | null {
  const [, year, month, day] = /^(\d{4,6})-(\d\d)-(\d\d)$/.exec(text) ?? []
  return year === undefined ? null : daysOfDate(Number(year), Number(month), Number(day))
}

/** Microseconds since midnight of `23:59`, `23:59:59` or `23:59:59.999999`; `null` for anything finer or out of range. */
export function microsOfDay(text: string): bigint | null {
  const [, hours, minutes, seconds = '0', fraction = ''] =
    /^(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?$/.exec(text.trim()) ?? []
  if (hours === undefined || Number(minutes) > 59 || Number(seconds) > 59) return null
  // More than 6 decimals are exact only when the rest is nothing.
  if (!/^\d{0,6}0*$/.test(fraction)) return null
  const whole = BigInt((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds))
  const micros = whole * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, '0'))
  return micros <= 86_400_000_000n ? micros : null
}
