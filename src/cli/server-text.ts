import type { LiveSource, LiveTable } from '../app/live-status.ts'
import type { HolderReport, ServerReport } from '../app/server/report.ts'
import { seconds, table } from './format.ts'

/** The process that has the database open, as a person reads it. */
export function serverText(report: ServerReport | HolderReport, nowMicros: bigint): string {
  const head = `${report.command}, process ${report.process} on ${report.host}, for ${seconds(report.uptimeMs)}`
  if (!('state' in report)) return `Process: ${head}`
  const { state, doing, alarms, sources, tables, lastError } = report
  const words = { well: 'all is well', trouble: 'SOURCES IN TROUBLE', stalled: 'SOMETHING STANDS STILL' }
  const inTrouble = sources.filter(source => source.trouble !== null)
  return [
    `Server: ${head}: ${words[state]}${doing === null ? '' : `; now: ${doing}`}`,
    ...alarms.map(({ code, text, fix }) => `  ${text}. ${fix} [${code}]`),
    ...inTrouble.map(source => troubleText(source, nowMicros)),
    ...(lastError === null || inTrouble.length > 0 || alarms.length > 0
      ? []
      : [`  last error, ${ago(lastError.atMicros, nowMicros)} ago: ${lastError.text} [${lastError.code}]`]),
    '',
    table(
      ['table', 'technique', 'position', 'behind p50', 'behind p99'],
      tables.map(it => [it.table, it.technique, it.position, ...behind(it)]),
    ),
  ].join('\n')
}

function behind({ behindMs }: LiveTable): readonly [string, string] {
  return behindMs === null ? ['', ''] : [seconds(behindMs.p50), seconds(behindMs.p99)]
}

function troubleText({ source, trouble }: LiveSource, nowMicros: bigint): string {
  if (trouble === null) return ''
  const again = trouble.againMicros > nowMicros ? `; tried again in ${ago(nowMicros, trouble.againMicros)}` : ''
  return `  ${source}, for ${ago(trouble.sinceMicros, nowMicros)}: ${trouble.text}. ${trouble.fix} [${trouble.code}]${again}`
}

function ago(fromMicros: bigint, toMicros: bigint): string {
  return seconds(Number((toMicros - fromMicros) / 1000n))
}
