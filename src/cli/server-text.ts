import type { LiveSource, LiveTable } from '../app/live-status.ts'
import type { SubscriberStatus } from '../app/subscribe/feeds.ts'
import type { HolderReport, ServerReport } from '../app/server/report.ts'
import type { SourceLag } from '../app/source-lags.ts'
import { bytes, count, seconds, table } from './format.ts'

/** The process that has the database open, as a person reads it. */
export function serverText(report: ServerReport | HolderReport, nowMicros: bigint): string {
  const head = `${report.command}, process ${report.process} on ${report.host}, for ${seconds(report.uptimeMs)}`
  if (!('state' in report)) return `Process: ${head}`
  const { state, doing, alarms, troubles, live, lastError, subscribers } = report
  const words = { well: 'all is well', trouble: 'IN TROUBLE', stalled: 'STANDS STILL' }
  const isPast = lastError !== null && alarms.length === 0 && troubles.length === 0
  return [
    `Server: ${head}: ${words[state]}${doing === null ? '' : `; now: ${doing}`}`,
    ...alarms.map(({ code, text, fix }) => `  ${text}. ${fix} [${code}]`),
    ...troubles.map(
      it =>
        `  ${it.what}, for ${ago(it.sinceMicros, nowMicros)}: ${it.text}${it.isRetried ? '' : `. ${it.fix}`} [${it.code}]`,
    ),
    ...(isPast
      ? [`  last error, ${ago(lastError.atMicros, nowMicros)} ago: ${lastError.text} [${lastError.code}]`]
      : []),
    ...(live === null ? [] : ['', ...lagsText(live.sources), ...refusedText(live.sources), tablesText(live.tables)]),
    ...(subscribers.length === 0 ? [] : ['', subscribersText(subscribers)]),
  ].join('\n')
}

/** What sources keep for us. */
function lagsText(sources: readonly LiveSource[]): readonly string[] {
  const told = sources.flatMap(({ source, technique, lag, behindBytes, isPaused }) =>
    lag === null || lag.bytes === null
      ? []
      : [
          [
            source,
            technique,
            bytes(Number(lag.bytes)),
            bytesOf(behindBytes?.p50),
            bytesOf(behindBytes?.p99),
            lag.kept == null ? '' : bytes(Number(lag.kept)),
            lag.bytesLeft === null ? '' : bytes(Number(lag.bytesLeft)),
            [isPaused ? 'PAUSED by the guard' : null, lag.trouble, lag.room].filter(it => it != null).join('; '),
          ],
        ],
  )
  const titles = ['source', 'technique', 'not read', 'p50', 'p99', 'on its disk', 'may keep', '']
  return told.length === 0 ? [] : [table(titles, told), '']
}

/** What sources keep for streams that nobody reads at the moment. */
export function keptText(kept: readonly SourceLag[]): readonly string[] {
  if (kept.length === 0) return []
  const rows = kept.map(({ source, technique, lag, error }) => [
    source,
    technique,
    lag?.bytes == null ? '' : bytes(Number(lag.bytes)),
    lag?.kept == null ? '' : bytes(Number(lag.kept)),
    lag?.bytesLeft == null ? '' : bytes(Number(lag.bytesLeft)),
    error === null ? (lag?.room ?? '') : `${error.text} [${error.code}]`,
  ])
  return [
    'Nobody reads at the moment',
    table(['source', 'technique', 'not read', 'on its disk', 'may keep', ''], rows),
    '',
  ]
}

/** Answers that senders of events got instead of being taken. */
function refusedText(sources: readonly LiveSource[]): readonly string[] {
  const told = sources.flatMap(({ source, refused }) =>
    refused.map(({ status, count: n, last }) => [source, String(status), count(n), last]),
  )
  return told.length === 0 ? [] : [table(['source', 'answer', 'times', 'the last one'], told), '']
}

/** Who takes changes, and what each holds back. */
export function subscribersText(subscribers: readonly SubscriberStatus[]): string {
  return table(
    ['subscriber', 'changes of', 'personal', 'sets waiting', 'holds back'],
    subscribers.map(({ name, topic, personal, waiting }) => [
      name,
      topic.replace(/^changes\./, ''),
      personal ?? 'not in the configuration',
      waiting === null ? 'not begun' : count(waiting.messages),
      waiting === null ? '' : bytes(waiting.bytes),
    ]),
  )
}

function tablesText(tables: readonly LiveTable[]): string {
  return table(
    ['table', 'technique', 'state', 'position', 'behind p50', 'p99', 'bytes p50', 'p99', 'rows', 'rejected'],
    tables.map(it => [
      it.table,
      it.technique,
      it.state,
      it.position,
      behind(it.behindMs?.p50),
      behind(it.behindMs?.p99),
      bytesOf(it.behindBytes?.p50),
      bytesOf(it.behindBytes?.p99),
      count(it.rows),
      count(it.rejected),
    ]),
  )
}

function bytesOf(value: number | undefined): string {
  return value === undefined ? '' : bytes(value)
}

function behind(ms: number | undefined): string {
  return ms === undefined ? '' : seconds(ms)
}

function ago(fromMicros: bigint, toMicros: bigint): string {
  return seconds(Number((toMicros - fromMicros) / 1000n))
}
