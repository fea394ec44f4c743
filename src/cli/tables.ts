import { listTables } from '../app/ask.ts'
import { realEnv } from '../core/env.ts'
import type { Call } from './command.ts'
import { configFileOf, interruption, printResult } from './context.ts'
import { table } from './format.ts'

/** `naru tables`: what a system shows the account. */
export async function run(call: Call): Promise<void> {
  const [address = ''] = call.args
  const given = { env: realEnv(), emit: () => {}, signal: interruption() }
  const found = await listTables(given, { address, configFile: configFileOf(call) })
  const tables = found.map(({ name, key, columns, rowsEstimate }) => ({
    name,
    key,
    columns: columns.map(column => ({ name: column.name, type: column.nativeType, nullable: column.nullable })),
    rowsEstimate,
  }))
  printResult(call, { ok: true, tables }, () =>
    tables.length === 0
      ? `"${address}" shows this account no table.`
      : table(
          ['table', 'key', 'columns', 'rows, about'],
          tables.map(it => [it.name, it.key.join(', '), it.columns.length, it.rowsEstimate]),
        ),
  )
}
