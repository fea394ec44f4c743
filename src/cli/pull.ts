import path from 'node:path'
import { pull, type Pulled, type PullRequest } from '../app/pull.ts'
import { realEnv } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import type { Call } from './command.ts'
import { configFileOf, interruption, printResult } from './context.ts'

/** `naru pull`: writes the typed schema modules of sources. */
export async function run(call: Call): Promise<void> {
  const request = requestOf(call)
  const pulled = await pull(realEnv(), request, interruption())
  const modules = pulled.map(it => ({ ...it, file: path.relative(process.cwd(), it.file) }))
  printResult(call, { ok: true, modules }, () =>
    modules.length === 0 ? 'The configuration reads no database: nothing to pull.' : modules.map(text).join('\n'),
  )
}

function requestOf(call: Call): PullRequest {
  const from = systemOf(call)
  const names = call.args
  if (from !== null) assertOneSource(names)
  return {
    configFile: configFileOf(call),
    names,
    out: call.flag('out') ?? 'schema',
    all: call.has('all'),
    from,
  }
}

/** The systems that `--from` reads, by the flags that say where they are: one of them is given. */
const whereFlags = {
  postgres: ['url'],
  mysql: ['url'],
  odbc: ['url'],
  cassandra: ['url'],
  sqlite: ['path'],
  files: ['path', 'url'],
} as const satisfies Readonly<Record<string, readonly ('url' | 'path')[]>>

/** The system that `--from` names, with its address; `null` without it. Throws `USAGE`. */
export function systemOf(call: Call): PullRequest['from'] {
  const adapter = call.flag('from')
  const [url, file] = [call.flag('url'), call.flag('path')]
  if (adapter === undefined) {
    if (url !== undefined || file !== undefined) throw usage('--url and --path go with --from')
    return null
  }
  if (!isSystem(adapter)) throw usage(`--from takes ${Object.keys(whereFlags).join(', ')}, not "${adapter}"`)
  const places = Object.entries({ path: file, url }).filter(([, value]) => value !== undefined)
  const [where, given] = places[0] ?? []
  const known: readonly string[] = whereFlags[adapter]
  if (where === undefined || given === undefined || places.length > 1 || !known.includes(where)) {
    throw usage(`--from ${adapter} needs ${known.map(flag => `--${flag}`).join(' or ')}`)
  }
  if (where === 'path') return { adapter, options: { [adapter === 'files' ? 'folder' : 'path']: given } }
  if (!/^\w+$/.test(given)) {
    throw usage('--url takes the name of an environment variable; an address holds a password and would be seen')
  }
  return { adapter, options: { [adapter === 'odbc' ? 'dsn' : 'url']: { kind: 'secret', from: 'env', name: given } } }
}

function isSystem(adapter: string): adapter is keyof typeof whereFlags {
  return Object.hasOwn(whereFlags, adapter)
}

/** With `--from` the name is new: it becomes the file, and the name of the source in the configuration. */
function assertOneSource(names: readonly string[]): void {
  const sources = new Set(names.map(name => name.split('.')[0] ?? ''))
  const [source = ''] = sources
  if (sources.size !== 1 || !/^[a-z][a-z0-9_]{0,39}$/.test(source)) {
    throw usage('--from reads one source: give it a name of lower-case letters, digits and _, such as ops')
  }
}

function usage(problem: string): Error {
  return fail('USAGE', { problem })
}

function text({ source, file, tables, left, gone, notes, changed }: Pulled): string {
  const count = `${tables.length} ${tables.length === 1 ? 'table' : 'tables'}`
  return [
    `${file}: ${count}, ${changed ? 'written' : 'no change'}`,
    ...notes.map(note => `  ${note}`),
    ...(gone.length === 0 ? [] : [`  no longer in the source: ${gone.join(', ')}`]),
    ...(left.length === 0
      ? []
      : [
          `  not taken: ${left.join(', ')}`,
          `  Take one with naru pull ${argument(`${source}.${left[0] ?? ''}`)}, or every table with --all.`,
        ]),
  ].join('\n')
}

/** As a shell takes it: one that sees a pattern puts the names of its own files in place of it. */
function argument(text: string): string {
  return /^[\w.]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
