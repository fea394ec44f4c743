/** Days from 1970-01-01 of a date of the Gregorian calendar, also before it was in use. */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year // years from March, so that a leap day ends its year
  const cycle = Math.floor(shifted / 400)
  const ofCycle = shifted - cycle * 400
  const ofYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const days = ofCycle * 365 + Math.floor(ofCycle / 4) - Math.floor(ofCycle / 100) + ofYear
  return cycle * 146_097 + days - 719_468
}

/** Likewise; `null` when there is no such day. */
export function daysOfDate(year: number, month: number, day: number): number | null {
  if (month < 1 || month > 12 || day < 1 || (day > 28 && day > daysOfMonth(year, month))) return null
  return daysFromCivil(year, month, day)
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}
