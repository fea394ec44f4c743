import { fail } from '../../core/errors.ts'
import { option } from '../../core/implementation.ts'
import type { SourceLimits } from './contract.ts'

/** The options of every adapter that reads tables: they protect the source from its reader. */
export const limits = {
  chunkRows: option.int('Rows of a first load that are read and committed together: what a broken load repeats.', {
    default: 250_000,
    min: 1,
  }),
  connections: option.int('Chunks of a table that are read at the same time, each over a connection of its own.', {
    default: 1,
    min: 1,
    max: 64,
  }),
  rowsPerSecond: option.int('Most rows that are read from the source in a second; 0 is as fast as it goes.', {
    default: 0,
    min: 0,
  }),
  retries: option.int(
    'How often a run connects again, each time after a longer pause, when the source cannot be reached or breaks off.',
    { default: 2, min: 0, max: 20 },
  ),
  hours: option.text(
    'Hours of the day, in UTC, in which the source may be read: `22:00-06:00`. A load stops at its next chunk when they end, and goes on in the next run.',
  ),
} as const

/** What the options say, for `ReadsTables.limits`. Throws `OPTION_INVALID` for hours that are none. */
export function limitsOf(options: Readonly<Record<string, unknown>>, source: string): SourceLimits {
  const rowsPerSecond = options['rowsPerSecond'] as number
  return {
    chunkRows: options['chunkRows'] as number,
    connections: options['connections'] as number,
    rowsPerSecond: rowsPerSecond === 0 ? null : rowsPerSecond,
    // An adapter from outside may leave the option out.
    retries: (options['retries'] as number | undefined) ?? 0,
    hours: hoursOf(options['hours'] as string | undefined, source),
  }
}

function hoursOf(text: string | undefined, source: string): SourceLimits['hours'] {
  if (text === undefined) return null
  const [, ...parts] = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? []
  const [fromHour, fromMinute, toHour, toMinute] = parts.map(Number)
  const [from, to] = [Number(fromHour) * 60 + Number(fromMinute), Number(toHour) * 60 + Number(toMinute)]
  if (parts.length === 4 && from !== to) return { fromMinute: from, toMinute: to }
  const problem = `must be two different times such as '22:00-06:00'; this is ${JSON.stringify(text)}`
  throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'hours', problem })
}
