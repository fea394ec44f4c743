import path from 'node:path'
import { askSource, tablesOf, type SourceQuestion } from '../app/ask-source.ts'
import { withReader } from '../app/read.ts'
import { configFileName } from '../config/load.ts'
import { realEnv } from '../core/env.ts'
import { fail, isNaruError, messageOf } from '../core/errors.ts'
import { rawSql } from '../core/sql.ts'
import type { Cell, QueryResult } from '../services/engine/contract.ts'
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
  const signal = interruption()
  try {
    const { columns, rows, more } = await withReader(open, { signal, access: 'people' }, async engine =>
      firstRows(await engine.query(rawSql(query), signal), limit),
    )
    const names = columns.map(column => column.name)
    printResult(call, { ok: true, columns, rows, complete: !more }, () =>
      [table(names, rows), more ? moreThan(limit) : ''].join('\n').trimEnd(),
    )
  } catch (error) {
    // The statement is a person's: its fault is theirs to mend, not one of the configuration.
    if (!isNaruError(error, 'ENGINE_SQL')) throw error
    throw fail('SQL_FAILED', { problem: messageOf(error.cause).split('\n')[0] ?? '' }, { cause: error })
  }
}

/** The first rows of a result, and whether there are more. */
async function firstRows(
  { columns, pages }: QueryResult,
  limit: number,
): Promise<Pick<QueryResult, 'columns'> & { readonly rows: readonly (readonly Cell[])[]; readonly more: boolean }> {
  const rows: (readonly Cell[])[] = []
  for await (const page of pages) {
    // One by one: a call with a page as its arguments has a limit.
    for (const row of page) if (rows.length <= limit) rows.push(row)
    if (rows.length > limit) break
  }
  return { columns, rows: rows.slice(0, limit), more: rows.length > limit }
}

async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return ''
  const parts: Buffer[] = []
  for await (const part of process.stdin) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}
