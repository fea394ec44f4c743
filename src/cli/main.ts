#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { createRequire } from 'node:module'
import { fail, isNaruError, messageOf, type NaruError } from '../core/errors.ts'
import { commonFlags, type Call, type Command } from './command.ts'
import { commands } from './commands.ts'
import { overview, page } from './help.ts'
import { processOutput } from './output.ts'

/** Parses the line, runs one command, and turns what it throws into a message and an exit status. */
async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(`${overview(commands, version())}\n`)
    return name === undefined ? 2 : 0
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`)
    return 0
  }
  const json = rest.includes('--json')
  try {
    const command = commands.find(it => it.name === name)
    if (command === undefined) throw fail('USAGE', { problem: `there is no command "${name}"${suggestion(name)}` })
    if (rest.includes('--help') || rest.includes('-h')) {
      process.stdout.write(`${page(command)}\n`)
      return 0
    }
    const { run } = await command.load()
    return (await run(parse(command, rest))) ?? 0
  } catch (error) {
    return report(error, json)
  }
}

function parse(command: Command, rest: readonly string[]): Call {
  const flags = [...command.flags, ...commonFlags]
  const options = Object.fromEntries(
    flags.map(flag => [flag.name, { type: flag.value === undefined ? 'boolean' : 'string' } as const]),
  )
  const parsed = parseStrict(rest, options)
  const { min, max } = command.positional ?? { min: 0, max: 0 }
  const count = parsed.positionals.length
  if (count < min)
    throw fail('USAGE', {
      problem: `naru ${command.name} needs ${command.positional?.name.replaceAll(' ', ' and ') ?? 'an argument'}`,
    })
  if (max !== null && count > max) {
    throw fail('USAGE', { problem: `naru ${command.name} takes no argument "${parsed.positionals[max] ?? ''}"` })
  }
  const values = parsed.values as Record<string, string | boolean | undefined>
  return {
    args: parsed.positionals,
    flag: name => (typeof values[name] === 'string' ? values[name] : undefined),
    has: name => values[name] === true,
    output: processOutput({ json: values['json'] === true, quiet: values['quiet'] === true }),
  }
}

function parseStrict(
  args: readonly string[],
  options: Record<string, { type: 'boolean' | 'string' }>,
): { positionals: string[]; values: object } {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw fail('USAGE', { problem: messageOf(error).split('. ')[0] ?? 'unknown option' }, { cause: error })
  }
}

function suggestion(name: string): string {
  const near = commands.find(command => command.name.startsWith(name.slice(0, 2)))
  return near === undefined ? '' : `; did you mean "${near.name}"?`
}

function report(error: unknown, json: boolean): number {
  const known: NaruError = isNaruError(error) ? error : fail('INTERNAL', { what: messageOf(error) }, { cause: error })
  process.stderr.write(`naru: ${known.message}\n  ${known.fix}\n  [${known.code}]\n`)
  // The one case where a stack helps: it goes into the report of the fault.
  if (known.code === 'INTERNAL' && error instanceof Error) {
    process.stderr.write(`${(error.stack ?? '').split('\n').slice(1, 4).join('\n')}\n`)
  }
  if (json) {
    const { code, message, fix, exit } = known
    process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message, fix, exit } })}\n`)
  }
  return known.exit
}

function version(): string {
  return (createRequire(import.meta.url)('../../package.json') as { version: string }).version
}

process.exitCode = await main(process.argv.slice(2))
