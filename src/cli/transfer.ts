import path from 'node:path'
import type { TransferRequest } from '../app/transfer/moving.ts'
import { transfer, type Transferred } from '../app/transfer/transfer.ts'
import { configFileName } from '../config/load.ts'
import { realEnv } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { Call } from './command.ts'
import { interruption, printResult } from './context.ts'
import { count, seconds, visible } from './format.ts'
import { progress } from './progress.ts'

/** `naru transfer`: moves a table or a query between two systems. */
export async function run(call: Call): Promise<void> {
  const env = realEnv()
  const given = { env, emit: progress(call.output, env.clock), signal: interruption() }
  const done = await transfer(given, requestOf(call))
  printResult(call, { ok: true, ...done }, () => text(done))
}

const modes = ['replace', 'insert', 'update', 'upsert', 'delete'] as const
const validations = ['totals', 'count', 'hash'] as const

function requestOf(call: Call): TransferRequest {
  const [from = '', to = ''] = call.args
  const mode = choice(call, 'mode', modes)
  return {
    from,
    to,
    query: call.flag('query') ?? null,
    where: call.flag('where') ?? null,
    columns: names(call, 'columns'),
    mode,
    key: names(call, 'key'),
    splitBy: names(call, 'split-by'),
    parallel: whole(call, 'parallel', { default: 1, max: 64 }),
    chunkRows: whole(call, 'chunk-rows', { default: 250_000, max: 100_000_000 }),
    validate: choice(call, 'validate', validations),
    missed: choice(call, 'missed', ['refuse', 'report']),
    create: call.has('create'),
    configFile: path.resolve(call.flag('config') ?? configFileName),
  }
}

/** The first choice is the one that holds when nothing is said. */
function choice<const C extends string>(call: Call, flag: string, known: readonly [C, ...C[]]): C {
  const value = (call.flag(flag) ?? known[0]) as C
  if (known.includes(value)) return value
  throw fail('USAGE', { problem: `--${flag} takes ${known.join(', ')}, not "${value}"` })
}

function names(call: Call, flag: string): readonly string[] {
  const list = (call.flag(flag) ?? '').split(',').map(name => name.trim())
  if (list.length === 1 && list[0] === '') return []
  if (list.includes('')) throw fail('USAGE', { problem: `--${flag} takes column names with commas between them` })
  return list
}

function whole(call: Call, flag: string, limits: { readonly default: number; readonly max: number }): number {
  const text = call.flag(flag) ?? String(limits.default)
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1 && value <= limits.max) return value
  throw fail('USAGE', { problem: `--${flag} takes a whole number from 1 to ${limits.max}, not "${text}"` })
}

function text(done: Transferred): string {
  const changes = [
    [done.inserted, 'inserted'],
    [done.updated, 'updated'],
    [done.deleted, 'deleted'],
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
