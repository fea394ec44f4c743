const dayMs = 86_400_000
/** Days of 400 years: the calendar repeats. */
const cycleDays = 146_097

/** Days since 1970-01-01 of `2026-11-01`, or `null` when there is no such day. */
export function daysOf(text: string): number | null {
  const [, shown, month, day] = /^(\d{4,6})-(\d\d)-(\d\d)$/.exec(text) ?? []
  if (shown === undefined) return null
  const year = Number(shown)
  // `Date` counts the days of a year that has the same calendar: the year 0 and those after 275760 included.
  const alike = 2000 + (year % 400)
  const date = new Date(Date.UTC(alike, Number(month) - 1, Number(day)))
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return null
  return ((year - alike) / 400) * cycleDays + date.getTime() / dayMs
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
