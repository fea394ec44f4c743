import { ask } from '../app/ask.ts'
import { openForReading } from '../app/read.ts'
import { realEnv } from '../core/env.ts'
import { fail, isNaruError, messageOf } from '../core/errors.ts'
import { rawSql } from '../core/sql.ts'
import { typeText } from '../core/types.ts'
import type { Cell } from '../services/engine/contract.ts'
import type { Call } from './command.ts'
import { configFileOf, interruption, printResult, projectOf } from './context.ts'
import { table } from './format.ts'

/**
 * `naru sql`: one query, read-only, with external access off and personal columns masked; or, with `--on`, one to a
 * system itself, with what its account may see.
 */
export async function run(call: Call): Promise<void> {
  const limit = Number(call.flag('limit') ?? 100)
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw fail('USAGE', { problem: '--limit takes a whole number above 0' })
  const query = (call.args[0] ?? (await readStdin())).trim().replace(/;$/, '')
  if (query === '') throw fail('USAGE', { problem: 'naru sql needs a query' })
  const system = call.flag('on')
  if (system !== undefined) return askSystem(call, { system, query, limit })
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
      answerText({ names, rows: shown, complete: !more, limit }),
    )
  } catch (error) {
    // The statement is a person's: its fault is theirs to mend, not one of the configuration.
    if (!isNaruError(error, 'ENGINE_SQL')) throw error
    throw fail('SQL_FAILED', { problem: messageOf(error.cause).split('\n')[0] ?? '' }, { cause: error })
  } finally {
    await engine.close()
  }
}

async function askSystem(
  call: Call,
  { system, query, limit }: { readonly system: string; readonly query: string; readonly limit: number },
): Promise<void> {
  const given = { env: realEnv(), emit: () => {}, signal: interruption() }
  const answer = await ask(given, { address: system, configFile: configFileOf(call) }, query, limit)
  const columns = answer.columns.map(({ name, type }) => ({ name, type: typeText(type) }))
  printResult(call, { ok: true, columns, rows: answer.rows, complete: answer.complete }, () =>
    answerText({ names: columns.map(column => column.name), ...answer, limit }),
  )
}

interface Shown {
  readonly names: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
  readonly complete: boolean
  readonly limit: number
}

function answerText({ names, rows, complete, limit }: Shown): string {
  return [table(names, rows), complete ? '' : `… more than ${limit} rows: raise --limit, or add a LIMIT`]
    .join('\n')
    .trimEnd()
}

async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return ''
  const parts: Buffer[] = []
  for await (const part of process.stdin) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}
