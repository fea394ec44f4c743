/** `3,000,000`. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** `1 row`, `1,204 rows`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

/** A share of a whole: `28.1 %`, never rounded to a flat 0 or 100 that is not one. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '–'
  const share = (100 * part) / whole
  if (share > 0 && share < 0.1) return '< 0.1 %'
  if (share < 100 && share > 99.9) return '> 99.9 %'
  return `${share.toFixed(1).replace(/\.0$/, '')} %`
}

/** A statistic for a person: at most five digits that count, exact when it is a whole number. */
export function figure(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return digits(String(value))
  const size = Math.abs(value)
  if (size >= 1e15 || size < 1e-4) return value.toPrecision(4)
  return digits(String(Number(value.toPrecision(5))))
}

/** A number as text with its whole part in groups: `-1,116.50`. */
export function digits(text: string): string {
  const [whole = '', fraction] = text.split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',')
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}

/** `850 ms`, `4.2 s`, `3 min 10 s`. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}

/** `1.4 MB`. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = Math.min(units.length - 1, bytes === 0 ? 0 : Math.floor(Math.log10(bytes) / 3))
  return step === 0 ? `${bytes} B` : `${(bytes / 1000 ** step).toFixed(1)} ${units[step]}`
}
