import type { Given, TransferRequest } from '../app/transfer/moving.ts'
import { transferAll } from '../app/transfer/transfer-all.ts'
import { transfer, type Transferred } from '../app/transfer/transfer.ts'
import { loadConfig } from '../config/load.ts'
import type { TransferDef, TransferOptions } from '../config/model.ts'
import { realEnv } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { Call } from './command.ts'
import { configFileOf, interruption, printResult } from './context.ts'
import { count, seconds, table, visible } from './format.ts'
import { progress } from './progress.ts'

/** `naru transfer`: moves a table or a query between two systems, or lists the transfers that the configuration names. */
export async function run(call: Call): Promise<void> {
  const env = realEnv()
  const [only = ''] = call.args
  // A name has none of these: it is one end, and the other is missing.
  if (call.args.length === 1 && /[#:./*]/.test(only)) {
    throw fail('USAGE', { problem: `"${only}" is one end of a transfer; the other is missing` })
  }
  const saved = call.args.length === 2 ? [] : (await loadConfig(env, configFileOf(call))).transfers
  if (call.args.length === 0) return list(call, saved)
  const given = { env, emit: progress(call.output, env.clock), signal: interruption() }
  const request = requestOf(call, savedOf(call.args, saved))
  if (call.has('all')) return moveAll(call, given, request)
  if (request.lastValue !== null && request.incremental === null) {
    throw fail('USAGE', { problem: '--last-value goes with --incremental' })
  }
  if (call.flag('except') !== undefined) throw fail('USAGE', { problem: '--except goes with --all' })
  const done = await transfer(given, request)
  printResult(call, { ok: true, ...done }, () => text(done))
}

async function moveAll(call: Call, given: Given, request: TransferRequest): Promise<void> {
  const odd = ofOneTable(request)
  if (odd !== undefined) throw fail('USAGE', { problem: `--${odd} is of one table and does not go with --all` })
  const moved: Transferred[] = []
  for await (const done of transferAll(given, request, names(call, 'except', []))) {
    moved.push(done)
    if (!call.output.json) call.output.print(text(done))
  }
  printResult(call, { ok: true, tables: moved }, () => `${moved.length} tables moved.`)
}

/** What describes one table, by a flag or saved with a name, does not go with all of them. */
function ofOneTable(request: TransferRequest): string | undefined {
  const { query, where, columns, key, splitBy, incremental, lastValue } = request
  const given = { query, where, columns, key, 'split-by': splitBy, incremental, 'last-value': lastValue }
  return Object.entries(given).find(([, value]) => value !== null && value.length > 0)?.[0]
}

function list(call: Call, saved: readonly TransferDef[]): void {
  printResult(call, { ok: true, transfers: saved }, () =>
    saved.length === 0
      ? 'The configuration names no transfer: give one a name under transfers, or call naru transfer <from> <to>.'
      : table(
          ['transfer', 'from', 'to', 'mode'],
          saved.map(it => [it.name, it.from, it.to, it.mode ?? modes[0]]),
        ),
  )
}

/** Two ends, or the one transfer that is named. */
function savedOf([first = '', second]: readonly string[], saved: readonly TransferDef[]): TransferOptions {
  if (second !== undefined) return { from: first, to: second }
  const found = saved.find(it => it.name === first)
  if (found !== undefined) return found
  const known = saved.length === 0 ? 'has none' : `has ${saved.map(it => it.name).join(', ')}`
  throw fail('USAGE', {
    problem: `two ends are needed, or the name of a transfer of the configuration, which ${known}`,
  })
}

const modes = ['replace', 'insert', 'update', 'upsert', 'delete', 'call'] as const
const validations = ['totals', 'count', 'hash'] as const

/** What a flag says holds over what was saved. */
function requestOf(call: Call, saved: TransferOptions): TransferRequest {
  return {
    from: saved.from,
    to: saved.to,
    query: call.flag('query') ?? saved.query ?? null,
    where: call.flag('where') ?? saved.where ?? null,
    columns: names(call, 'columns', saved.columns),
    mode: choice(call, 'mode', modes, saved.mode),
    key: names(call, 'key', saved.key),
    splitBy: names(call, 'split-by', saved.splitBy),
    parallel: whole(call, 'parallel', saved.parallel, { default: 1, max: 64 }),
    chunkRows: whole(call, 'chunk-rows', saved.chunkRows, { default: 250_000, max: 100_000_000 }),
    validate:
      call.flag('validate') === undefined && saved.validate === undefined
        ? null
        : choice(call, 'validate', validations, saved.validate),
    missed: choice(call, 'missed', ['refuse', 'report'], saved.missed),
    create: call.has('create') || saved.create === true,
    incremental: call.flag('incremental') ?? saved.incremental ?? null,
    lastValue: call.flag('last-value') ?? null,
    file: fileOf(call, saved),
    configFile: configFileOf(call),
  }
}

/** How a file is written: what was said of it, and nothing else. */
function fileOf(call: Call, saved: TransferOptions): TransferRequest['file'] {
  const delimiter = call.flag('delimiter') ?? saved.delimiter
  const all = {
    // A tab is hard to type in a shell.
    delimiter: delimiter === '\\t' ? '\t' : delimiter,
    quote: call.flag('quote') ?? saved.quote,
    escape: call.flag('escape') ?? saved.escape,
    nullText: call.flag('null-text') ?? saved.nullText,
    header: call.has('no-header') ? false : saved.header,
    compression: call.flag('compression') ?? saved.compression,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** The first choice is the one that holds when nothing is said. */
function choice<const C extends string>(
  call: Call,
  flag: string,
  known: readonly [C, ...C[]],
  saved: NoInfer<C> | undefined,
): C {
  const value = (call.flag(flag) ?? saved ?? known[0]) as C
  if (known.includes(value)) return value
  throw fail('USAGE', { problem: `--${flag} takes ${known.join(', ')}, not "${value}"` })
}

function names(call: Call, flag: string, saved: readonly string[] = []): readonly string[] {
  const given = call.flag(flag)
  if (given === undefined) return saved
  const list = given.split(',').map(name => name.trim())
  if (list.length === 1 && list[0] === '') return []
  if (list.includes('')) throw fail('USAGE', { problem: `--${flag} takes column names with commas between them` })
  return list
}

function whole(
  call: Call,
  flag: string,
  saved: number | undefined,
  limits: { readonly default: number; readonly max: number },
): number {
  const text = call.flag(flag) ?? String(saved ?? limits.default)
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1 && value <= limits.max) return value
  throw fail('USAGE', { problem: `--${flag} takes a whole number from 1 to ${limits.max}, not "${text}"` })
}

function text(done: Transferred): string {
  const changes = [
    [done.inserted, 'inserted'],
    [done.updated, 'updated'],
    [done.deleted, 'deleted'],
    [done.called ?? 0n, 'calls made'],
    [done.missedNone, 'keys found no row'],
    [done.missedMany, 'keys found more than one row'],
  ] as const
  const parts = changes.filter(([rows]) => rows > 0n).map(([rows, what]) => `${count(Number(rows))} ${what}`)
  const resumed = done.resumedRows === 0n ? '' : `, ${count(Number(done.resumedRows))} of them staged before`
  const checked = { count: 'row count agrees', totals: 'totals of every column agree', hash: 'content hash agrees' }[
    done.validated
  ]
  return [
    `${visible(done.from)} → ${visible(done.to)}: ${count(Number(done.rows))} rows in ${seconds(done.ms)}${resumed}; the ${checked}.`,
    parts.length === 0 ? 'Nothing changed in the target.' : `In the target: ${parts.join(', ')}.`,
  ].join('\n')
}
