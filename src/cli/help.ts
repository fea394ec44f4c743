import { commonFlags, type Command, type Flag } from './command.ts'
import { exitStatuses } from './exit-status.ts'

/** The page of `naru --help`. */
export function overview(commands: readonly Command[], version: string): string {
  const width = Math.max(...commands.map(command => command.name.length))
  const lines = commands.map(command => `  ${command.name.padEnd(width)}  ${command.summary}`)
  return [
    `naru ${version}  Move data from where it is made to where it is used, and keep it right on the way.`,
    '',
    'Usage: naru COMMAND [options]',
    '',
    ...lines,
    '',
    'naru COMMAND --help shows the options of a command.',
    'Exit status:',
    ...exitStatuses.map(([status, meaning]) => `  ${status}  ${meaning}`),
  ].join('\n')
}

/** The page of `naru COMMAND --help`. */
export function page(command: Command): string {
  const { positional } = command
  const usage = ['Usage: naru', command.name, positional === undefined ? '' : usageOf(positional), '[options]']
  const flags = [...command.flags, ...commonFlags]
  const width = Math.max(...flags.map(flag => spelling(flag).length), positional?.name.length ?? 0)
  const line = (left: string, right: string): string => `  ${left.padEnd(width)}  ${right}`
  return [
    `naru ${command.name}  ${command.summary}`,
    '',
    usage.filter(part => part !== '').join(' '),
    '',
    ...(positional === undefined ? [] : [line(positional.name, positional.description)]),
    ...flags.map(flag => line(spelling(flag), describe(flag))),
    '',
    `Example: ${command.example}`,
  ].join('\n')
}

function usageOf(positional: NonNullable<Command['positional']>): string {
  const many = positional.max === null ? '...' : ''
  if (positional.min === 0) return `[${positional.name}${many}]`
  // A name of two words is that of two arguments.
  return `<${positional.name.replaceAll(' ', '> <')}>${many}`
}

function spelling(flag: Flag): string {
  return flag.value === undefined ? `--${flag.name}` : `--${flag.name} ${flag.value}`
}

function describe(flag: Flag): string {
  return flag.default === undefined ? flag.description : `${flag.description} (default: ${flag.default})`
}
