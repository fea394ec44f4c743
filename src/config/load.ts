import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as jitiPackage from 'jiti'
import type { Env } from '../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../core/errors.ts'
import * as kit from '../adapter.ts'
import * as words from '../index.ts'
import { aboutOf, isProject } from './handle.ts'
import { placeOf } from './mistake.ts'
import type { Project, SourceDef } from './model.ts'

// By `require`: an `import` parses its one large file for names first, in every command.
const { createJiti } = createRequire(import.meta.url)('jiti') as typeof jitiPackage

/** Where the configuration is when nobody says otherwise. */
export const configFileName = 'naru.config.ts'

/**
 * Evaluates a configuration and gives its project. Nothing is opened and no type is checked: an editor and `tsc` do
 * that; names, options and what builders can see are. Throws `CONFIG_NOT_FOUND`, `CONFIG_INVALID` with file and line.
 */
export async function loadConfig(env: Env, file: string): Promise<Project> {
  const module = await evaluate(env, file)
  const project = module['default']
  if (project === undefined)
    throw fail('CONFIG_INVALID', {
      path: file,
      problem: 'has no default export; end it with export default defineConfig({ ... })',
    })
  if (!isProject(project))
    throw fail('CONFIG_INVALID', { path: file, problem: 'the default export is not made by defineConfig()' })
  return project
}

/**
 * The sources that a configuration makes before it breaks: it may name a column that its schema module no longer has, and
 * still says where the sources are. Their tables are left out, because what the configuration says of them may be wrong.
 */
export async function sourcesBeforeBreak(env: Env, file: string): Promise<readonly SourceDef[]> {
  const made = new Map<string, SourceDef>()
  try {
    await evaluate(
      env,
      file,
      notingSources(def => void made.set(def.name, def)),
    )
  } catch {
    // That it breaks is known; how it does was told by `loadConfig`.
  }
  return [...made.values()]
}

type Builder = (...args: readonly unknown[]) => unknown

/** The words of a configuration; each that makes a source with a schema tells it without its tables, and only then makes it. */
function notingSources(tell: (def: SourceDef) => void): object {
  const noting =
    (make: Builder): Builder =>
    (...args) => {
      const options = args.at(-1)
      if (typeof options === 'object' && options !== null && 'schema' in options) {
        const {
          changes: _,
          contract: __,
          renamed: ___,
          where: ____,
          ...rest
        } = options as Readonly<Record<string, unknown>>
        const made = aboutOf(make(...args.slice(0, -1), { ...rest, schema: {} }))
        if (made?.kind === 'source') tell(made.def)
      }
      return make(...args)
    }
  const { pg, mysql, sqlite, odbc, cassandra, source } = words
  const builders = Object.entries({ pg, mysql, sqlite, odbc, cassandra, source })
  return { ...words, ...Object.fromEntries(builders.map(([name, make]) => [name, noting(make as Builder)])) }
}

/** Evaluates a TypeScript module of the user; its names. The word `naru` in it is this very package. */
export async function evaluate(
  env: Env,
  file: string,
  naru: object = words,
): Promise<Readonly<Record<string, unknown>>> {
  const absolute = path.resolve(file)
  await assertReadable(env, absolute)
  const jiti = createJiti(pathToFileURL(absolute).href, {
    // A stale answer from a cache would be a wrong plan.
    moduleCache: false,
    fsCache: false,
    tryNative: false,
    interopDefault: false,
    // The same instance as ours, however the user's folder would resolve the name.
    virtualModules: { naru, 'naru/adapter': kit },
  })
  try {
    return await jiti.import<Record<string, unknown>>(absolute)
  } catch (error) {
    throw invalid(absolute, error)
  }
}

async function assertReadable(env: Env, file: string): Promise<void> {
  try {
    const found = await env.files.stat(file)
    if (found.isFile()) return
  } catch (error) {
    const code = systemCodeOf(error)
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw fail('CONFIG_INVALID', { path: file, problem: `cannot be read: ${messageOf(error)}` }, { cause: error })
    }
  }
  throw fail('CONFIG_NOT_FOUND', { path: file })
}

/** Whatever was thrown while the file ran, with the place in the user's code. */
function invalid(file: string, error: unknown): Error {
  if (isNaruError(error, 'CONFIG_INVALID')) return error
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const place = placeOf(stack) ?? syntaxPlaceOf(error, file) ?? file
  return fail('CONFIG_INVALID', { path: place, problem: firstLineOf(messageOf(error)) }, { cause: error })
}

/** A parser tells the place in its message: `ParseError: Unexpected token (3:8)` with the file before or after it. */
function syntaxPlaceOf(error: unknown, file: string): string | null {
  const found = /\((\d+):\d+\)|:(\d+):\d+/.exec(messageOf(error))
  return found === null ? null : `${file}:${found[1] ?? found[2]}`
}

function firstLineOf(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/^\w*Error: /, '')
}
