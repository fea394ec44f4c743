import type { LiveSource, LiveTable } from '../app/live-status.ts'
import type { HolderReport, ServerReport } from '../app/server/report.ts'
import { count, seconds, table } from './format.ts'

/** The process that has the database open, as a person reads it. */
export function serverText(report: ServerReport | HolderReport, nowMicros: bigint): string {
  const head = `${report.command}, process ${report.process} on ${report.host}, for ${seconds(report.uptimeMs)}`
  if (!('state' in report)) return `Process: ${head}`
  const { state, doing, alarms, troubles, live, lastError } = report
  const words = { well: 'all is well', trouble: 'IN TROUBLE', stalled: 'STANDS STILL' }
  const isPast = lastError !== null && alarms.length === 0 && troubles.length === 0
  return [
    `Server: ${head}: ${words[state]}${doing === null ? '' : `; now: ${doing}`}`,
    ...alarms.map(({ code, text, fix }) => `  ${text}. ${fix} [${code}]`),
    ...troubles.map(it => `  ${it.what}, for ${ago(it.sinceMicros, nowMicros)}: ${it.text} [${it.code}]`),
    ...(isPast
      ? [`  last error, ${ago(lastError.atMicros, nowMicros)} ago: ${lastError.text} [${lastError.code}]`]
      : []),
    ...(live === null ? [] : ['', ...lagsText(live.sources), tablesText(live.tables)]),
  ].join('\n')
}

/** What sources keep for us. */
function lagsText(sources: readonly LiveSource[]): readonly string[] {
  const told = sources.flatMap(({ source, technique, lag }) =>
    lag === null || lag.bytes === null
      ? []
      : [[source, technique, bytesText(lag.bytes), bytesText(lag.bytesLeft), lag.trouble]],
  )
  return told.length === 0 ? [] : [table(['source', 'technique', 'keeps for us', 'may keep', ''], told), '']
}

function bytesText(bytes: bigint | null): string {
  if (bytes === null) return ''
  const [size, unit] = [Number(bytes), ['B', 'KiB', 'MiB', 'GiB', 'TiB']]
  const power = size < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(size) / 10))
  return `${(size / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${unit[power]}`
}

function tablesText(tables: readonly LiveTable[]): string {
  return table(
    ['table', 'technique', 'state', 'position', 'behind p50', 'p99', 'rows', 'rejected'],
    tables.map(it => [
      it.table,
      it.technique,
      it.state,
      it.position,
      behind(it.behindMs?.p50),
      behind(it.behindMs?.p99),
      count(it.rows),
      count(it.rejected),
    ]),
  )
}

function behind(ms: number | undefined): string {
  return ms === undefined ? '' : seconds(ms)
}

function ago(fromMicros: bigint, toMicros: bigint): string {
  return seconds(Number((toMicros - fromMicros) / 1000n))
}
