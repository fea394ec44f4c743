import path from 'node:path'
import { askSource, tablesOf, type SourceQuestion } from '../app/ask-source.ts'
import { openForReading } from '../app/read.ts'
import { configFileName } from '../config/load.ts'
import { realEnv } from '../core/env.ts'
import { fail, isNaruError, messageOf } from '../core/errors.ts'
import { rawSql } from '../core/sql.ts'
import type { Cell } from '../services/engine/contract.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { table } from './format.ts'

/** `naru sql`: one query, read-only; of the warehouse with external access off and personal columns masked, or of a source. */
export async function run(call: Call): Promise<void> {
  const limit = Number(call.flag('limit') ?? 100)
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw fail('USAGE', { problem: '--limit takes a whole number above 0' })
  const from = call.flag('from')
  if (from === undefined && call.has('tables')) throw fail('USAGE', { problem: '--tables goes with --from' })
  if (from === undefined) return askWarehouse(call, limit)
  const configFile = path.resolve(call.flag('config') ?? configFileName)
  const asked = { env: realEnv(), address: from, configFile, signal: interruption() }
  return call.has('tables') ? showTables(call, asked) : showRows(call, asked, limit)
}

async function showTables(call: Call, asked: SourceQuestion): Promise<void> {
  const tables = await tablesOf(asked)
  const facts = tables.map(({ name, columns, key, rowsEstimate }) => ({
    name,
    columns: columns.length,
    key,
    rows: rowsEstimate,
  }))
  printResult(call, { ok: true, tables: facts }, () =>
    table(
      ['table', 'columns', 'key', 'rows, about'],
      facts.map(it => [it.name, it.columns, it.key.join(', '), it.rows]),
    ),
  )
}

async function showRows(call: Call, asked: SourceQuestion, limit: number): Promise<void> {
  const query = call.args[0] === undefined ? null : trimmed(call.args[0])
  const readQuery = async (): Promise<string> => trimmed(await readStdin())
  const { columns, rows, rejected, complete } = await askSource({ ...asked, query, readQuery, limit })
  printResult(call, { ok: true, columns, rows, rejected, complete }, () =>
    [
      table(
        columns.map(({ name }) => name),
        rows,
      ),
      complete ? '' : moreThan(limit),
      rejected === 0 ? '' : `${rejected} rows cannot be read exactly and are not shown`,
    ]
      .filter(line => line !== '')
      .join('\n'),
  )
}

function trimmed(query: string): string {
  return query.trim().replace(/;$/, '')
}

const moreThan = (limit: number): string => `… more than ${limit} rows: raise --limit, or add a LIMIT`

async function askWarehouse(call: Call, limit: number): Promise<void> {
  const query = trimmed(call.args[0] ?? (await readStdin()))
  if (query === '') throw fail('USAGE', { problem: 'naru sql needs a query' })
  const open = await projectOf(call)
  const engine = await openForReading(open, 'people')
  try {
    const result = await engine.query(rawSql(query), interruption())
    const rows: (readonly Cell[])[] = []
    let more = false
    for await (const page of result.pages) {
      rows.push(...page.slice(0, limit + 1 - rows.length))
      more = rows.length > limit
      if (more) break
    }
    const names = result.columns.map(column => column.name)
    const shown = rows.slice(0, limit)
    printResult(call, { ok: true, columns: result.columns, rows: shown, complete: !more }, () =>
      [table(names, shown), more ? moreThan(limit) : ''].join('\n').trimEnd(),
    )
  } catch (error) {
    // The statement is a person's: its fault is theirs to mend, not one of the configuration.
    if (!isNaruError(error, 'ENGINE_SQL')) throw error
    throw fail('SQL_FAILED', { problem: messageOf(error.cause).split('\n')[0] ?? '' }, { cause: error })
  } finally {
    await engine.close()
  }
}

async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return ''
  const parts: Buffer[] = []
  for await (const part of process.stdin) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}
