import type { LiveSource, LiveTable } from '../app/live/status-types.ts'
import type { SubscriberStatus, Waiting } from '../app/subscribe/feeds.ts'
import type { HolderReport, ServerReport, Trouble } from '../app/server/report.ts'
import type { TableSetAside } from '../app/status.ts'
import type { SourceLag } from '../app/check/source-lags.ts'
import type { StreamsAtRest } from '../app/check/streams-at-rest.ts'
import { bytes, count, seconds, table } from './format.ts'

/** The process that has the database open, as a person reads it. */
export function serverText(
  report: ServerReport | HolderReport,
  nowMicros: bigint,
  setAside: readonly TableSetAside[] = [],
): string {
  const head = `${report.command}, process ${report.process} on ${report.host}, for ${seconds(report.uptimeMs)}`
  if (!('state' in report)) return `Process: ${head}`
  const { state, doing, alarms, troubles, live, lastError, subscribers } = report
  const aside = setAside.reduce((sum, { rows }) => sum + rows, 0)
  const well = aside === 0 ? 'all is well' : `goes on; ${count(aside)} ${aside === 1 ? 'row is' : 'rows are'} set aside`
  const words = { well, trouble: 'IN TROUBLE', stalled: 'STANDS STILL' }
  const isPast = lastError !== null && alarms.length === 0 && troubles.length === 0
  return [
    `Server: ${head}: ${words[state]}${doing === null ? '' : `; now: ${doing}`}`,
    ...alarms.map(({ code, text, fix }) => `  ${text}. ${fix} [${code}]`),
    ...troubles.map(
      it => `  ${it.what}, for ${ago(it.sinceMicros, nowMicros)}: ${it.text}${thenText(it, nowMicros)} [${it.code}]`,
    ),
    ...(isPast
      ? [`  last error, ${ago(lastError.atMicros, nowMicros)} ago: ${lastError.text} [${lastError.code}]`]
      : []),
    ...(live === null ? [] : ['', ...lagsText(live.sources), ...refusedText(live.sources), tablesText(live.tables)]),
    ...(subscribers.length === 0 ? [] : ['', subscribersText(subscribers)]),
  ].join('\n')
}

/** What becomes of it by itself, or what a person may do. */
function thenText({ isRetried, fix, failures, againMicros }: Trouble, nowMicros: bigint): string {
  if (!isRetried) return `. ${fix}`
  if (failures === undefined || againMicros === undefined) return '; it is tried again'
  const when = againMicros > nowMicros ? `again in ${ago(nowMicros, againMicros)}` : 'and again now'
  return `; tried ${count(failures)} ${failures === 1 ? 'time' : 'times'}, ${when}`
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

/** Streams that nobody follows at the moment: what sources keep, where each table is, who takes changes. */
export function restingText(
  { kept, tables, subscribers, unseen, stopped }: StreamsAtRest & { readonly stopped: readonly string[] },
  nowMicros: bigint,
): readonly string[] {
  if (tables.length === 0) return []
  const rows = tables.map(it => [
    it.table,
    it.isAppend ? `${it.technique}, append` : it.technique,
    it.error === null && !stopped.includes(it.table) ? it.state.replaceAll('-', ' ') : 'STOPPED',
    it.position,
    it.committedMicros === null ? '' : `${ago(it.committedMicros, nowMicros)} ago`,
    it.waitingBytes === null ? '' : bytes(it.waitingBytes),
  ])
  const errors = [...new Set(tables.flatMap(({ error }) => (error === null ? [] : errorLine(error))))]
  return [
    'Streams: nobody follows them at the moment; naru start does, and naru run takes what came since',
    ...keptText(kept),
    table(['table', 'technique', 'state', 'position', 'as of', 'waits in our log'], rows),
    ...(unseen === null ? [] : [`The durable log could not be looked into: ${unseen}`]),
    ...errors,
    '',
    ...(subscribers.length === 0 ? [] : [subscribersText(subscribers), '']),
  ]
}

function errorLine({
  text,
  fix,
  code,
}: {
  readonly text: string
  readonly fix: string
  readonly code: string
}): string {
  return `  ${text}. ${fix} [${code}]`
}

function keptText(kept: readonly SourceLag[]): readonly string[] {
  if (kept.length === 0) return []
  const rows = kept.map(({ source, technique, lag, error }) => [
    source,
    technique,
    lag?.bytes == null ? '' : bytes(Number(lag.bytes)),
    lag?.kept == null ? '' : bytes(Number(lag.kept)),
    lag?.bytesLeft == null ? '' : bytes(Number(lag.bytesLeft)),
    error === null ? (lag?.room ?? '') : `${error.text} [${error.code}]`,
  ])
  return [table(['source', 'technique', 'not read', 'on its disk', 'may keep', ''], rows), '']
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
      waiting === null ? 'not begun' : setsText(waiting),
      waiting === null ? '' : bytes(waiting.bytes),
    ]),
  )
}

/** A long log is not read to its end for a figure. */
function setsText({ sets, isCounted, messages }: Waiting): string {
  if (isCounted) return count(sets)
  return sets === 0 ? `up to ${count(messages)}` : `${count(sets)} or more`
}

function tablesText(tables: readonly LiveTable[]): string {
  const titles = ['table', 'technique', 'state', 'position', 'behind p50', 'p99', 'waits', 'p50', 'p99']
  const known = table(
    [...titles, 'changes', 'rejected'],
    tables.map(it => [
      it.table,
      it.isAppend ? `${it.technique}, append` : it.technique,
      it.state,
      it.position,
      behind(it.behindMs?.p50),
      behind(it.behindMs?.p99),
      it.waitingBytes === null ? '' : bytes(it.waitingBytes),
      bytesOf(it.behindBytes?.p50),
      bytesOf(it.behindBytes?.p99),
      it.rows === null ? '' : count(it.rows),
      it.rejected === null ? '' : count(it.rejected),
    ]),
  )
  return `${known}\n${tablesLegend}`
}

const tablesLegend =
  'behind: age of the last 1,024 transactions (of a poll: reads) when they became visible, empty before the first; waits: bytes at the\n' +
  'source and in our log, now and over the last hour. All, with changes and rejected, since the server began.'

function bytesOf(value: number | undefined): string {
  return value === undefined ? '' : bytes(value)
}

function behind(ms: number | undefined): string {
  return ms === undefined ? '' : seconds(ms)
}

function ago(fromMicros: bigint, toMicros: bigint): string {
  return seconds(Number((toMicros - fromMicros) / 1000n))
}
