#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { createRequire } from 'node:module'
import { fail, messageOf, type NaruError, systemCodeOf } from '../core/errors.ts'
import { knownError } from '../core/known-error.ts'
import { commonFlags, type Call, type Command, type Output } from './command.ts'
import { commands } from './commands.ts'
import { visible, visibleLines } from './format.ts'
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
  unheard()
  const output = processOutput({ json: rest.includes('--json'), quiet: rest.includes('--quiet') })
  try {
    const command = commands.find(it => it.name === name)
    if (command === undefined) throw fail('USAGE', { problem: `there is no command "${name}"${suggestion(name)}` })
    if (rest.includes('--help') || rest.includes('-h')) {
      process.stdout.write(`${page(command)}\n`)
      return 0
    }
    const { run } = await command.load()
    return (await run(parse(command, rest, output))) ?? 0
  } catch (error) {
    return report(error, argv, output)
  }
}

function parse(command: Command, rest: readonly string[], output: Output): Call {
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
    output,
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

/** Whoever reads our output may have enough of it (`naru sql … | head`): what is done is done to its end, unheard. */
function unheard(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', error => {
      if (systemCodeOf(error) !== 'EPIPE') throw error
    })
  }
}

/** What ended the command: what it was about and why, what to do, its code, the step that it happened in, the next command. */
function report(error: unknown, argv: readonly string[], output: Output): number {
  const known = knownError(error)
  const { step } = output
  const next = nextCommand(known, argv)
  const where = step === null ? '' : ` in ${visible(step)}`
  const then = next === null ? '' : `\n  next: ${next}`
  output.redraw('')
  const [message, fix] = [visibleLines(known.message), visibleLines(known.fix)]
  process.stderr.write(`naru: ${message}\n  ${fix}\n  [${known.code}]${where}${then}\n`)
  // The one case where a stack helps: it goes into the report of the fault.
  if (known.code === 'INTERNAL' && error instanceof Error) {
    process.stderr.write(`${(error.stack ?? '').split('\n').slice(1, 4).join('\n')}\n`)
  }
  if (output.json) {
    const told = { code: known.code, message: known.message, fix: known.fix, exit: known.exit, step, next }
    process.stdout.write(`${JSON.stringify({ ok: false, error: told })}\n`)
  }
  return known.exit
}

/** The same command once the cause is gone; `null` where its use was wrong, or what to do names another command or option. */
function nextCommand(known: NaruError, argv: readonly string[]): string | null {
  if (known.exit === 2 || known.code === 'INTERNAL' || /naru [a-z]|(^| )--[a-z]/.test(known.fix)) return null
  return ['naru', ...argv].map(shellWord).join(' ')
}

/** A word as a shell takes it. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${visible(word).replaceAll("'", String.raw`'\''`)}'`
}

function version(): string {
  return (createRequire(import.meta.url)('../../package.json') as { version: string }).version
}

process.exitCode = await main(process.argv.slice(2))
