import { quarantineActions, type QuarantineAction } from '../app/quarantine.ts'
import { fail } from '../core/errors.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { table } from './format.ts'
import { progress } from './progress.ts'

const usage: Readonly<Record<QuarantineAction, string>> = {
  list: 'list [ENTITY]',
  show: 'show ENTITY KEY',
  fix: 'fix ENTITY KEY COLUMN VALUE',
  recycle: 'recycle [ENTITY [KEY]]',
}

/** `naru quarantine`: the rejected rows and their way back. */
export async function run(call: Call): Promise<void> {
  const [action, ...args] = call.args
  if (action === undefined || !(action in usage)) {
    throw fail('USAGE', { problem: `naru quarantine takes ${Object.values(usage).join(', ')}` })
  }
  const open = await projectOf(call)
  const actions = quarantineActions(open, { signal: interruption(), emit: progress(call.output, open.env.clock) })
  switch (action as QuarantineAction) {
    case 'list': {
      const limit = Number(call.flag('limit') ?? 100)
      const rows = await actions.list(args[0], limit)
      return printResult(call, { ok: true, rows }, () =>
        rows.length === 0
          ? 'Nothing waits in quarantine.'
          : table(
              ['entity', 'from', 'key', 'rules', 'state', 'older version in use'],
              rows.map(row => [
                row.entity,
                row.contributor,
                row.key,
                row.rules.join(', '),
                row.state,
                row.held ? 'yes' : 'no',
              ]),
            ),
      )
    }
    case 'show': {
      const [entity, key] = needed(args, 2, usage.show)
      const rows = await actions.show(entity as string, key as string)
      return printResult(call, { ok: true, rows }, () => JSON.stringify(rows, bigintText, 2))
    }
    case 'fix': {
      const [entity, key, column, value] = needed(args, 4, usage.fix)
      await actions.fix({ entity, key, column, value } as Parameters<typeof actions.fix>[0])
      return printResult(call, { ok: true }, () => 'Set. The next `naru run` tries the row again.')
    }
    case 'recycle': {
      const marked = await actions.recycle(args[0], args[1])
      return printResult(call, { ok: true, marked }, () => `${marked} rows are tried again by the next \`naru run\`.`)
    }
  }
}

function needed(args: readonly string[], count: number, text: string): readonly string[] {
  if (args.length === count) return args
  throw fail('USAGE', { problem: `naru quarantine takes ${text}` })
}

function bigintText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
