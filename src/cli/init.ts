import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { realEnv, type Env } from '../core/env.ts'
import { fail, systemCodeOf } from '../core/errors.ts'
import type { Call } from './command.ts'
import { printResult } from './context.ts'

const packageRoot = fileURLToPath(new URL('../..', import.meta.url))
const example = path.join(packageRoot, 'examples', 'first-project')

/** What a run leaves behind: stays out of the copy, and out of the user's version control. */
const madeByRuns = ['node_modules', '.naru', '*.duckdb', '*.duckdb.wal']

/** `naru init`: copies the first project into a new or empty folder. */
export async function run(call: Call): Promise<void> {
  const env = realEnv()
  const given = call.args[0] ?? ''
  const folder = path.resolve(given)
  await makeEmpty(env, folder)
  await env.files.cp(example, folder, { recursive: true, filter: from => !isMadeByRun(path.basename(from)) })
  // Written here: a package.json beside the example would hide the package that it is part of, and npm packs no .gitignore.
  await env.files.writeFile(path.join(folder, 'package.json'), await packageJson(env))
  await env.files.writeFile(path.join(folder, '.gitignore'), madeByRuns.map(name => `${name}\n`).join(''))
  const files = await filesIn(env, folder)
  printResult(call, { ok: true, folder, files }, () => text(given, files))
}

async function makeEmpty(env: Env, folder: string): Promise<void> {
  await env.files.mkdir(folder, { recursive: true }).catch((error: unknown) => {
    if (systemCodeOf(error) === 'EEXIST' || systemCodeOf(error) === 'ENOTDIR') {
      throw fail('USAGE', { problem: `${folder} is a file; naru init takes a folder` }, { cause: error })
    }
    throw error
  })
  if ((await env.files.readdir(folder)).length > 0) throw fail('FOLDER_NOT_EMPTY', { folder })
}

function isMadeByRun(name: string): boolean {
  return madeByRuns.some(pattern => (pattern.startsWith('*') ? name.endsWith(pattern.slice(1)) : name === pattern))
}

async function packageJson(env: Env): Promise<string> {
  const content = {
    private: true,
    type: 'module',
    scripts: { start: 'naru run', test: 'node --test' },
    dependencies: { naru: await ownSpecifier(env) },
  }
  return `${JSON.stringify(content, null, 2)}\n`
}

/**
 * How npm can install this very Naru again: the tarball or folder that it was installed from, which no registry may
 * have, or its version.
 */
async function ownSpecifier(env: Env): Promise<string> {
  const modules = path.dirname(packageRoot.replace(/[\\/]$/, ''))
  if (path.basename(modules) !== 'node_modules') return `file:${path.resolve(packageRoot)}`
  const { version } = (await readJson(env, path.join(packageRoot, 'package.json'))) as { version: string }
  const lock = (await readJson(env, path.join(modules, '.package-lock.json'))) as InstalledLock | null
  const resolved = lock?.packages?.['node_modules/naru']?.resolved
  if (resolved === undefined || !resolved.startsWith('file:')) return version
  return `file:${path.resolve(path.dirname(modules), resolved.slice('file:'.length))}`
}

/** What npm notes about what it installed; only the part that is read. */
interface InstalledLock {
  readonly packages?: Readonly<Record<string, { readonly resolved?: string } | undefined>>
}

async function readJson(env: Env, file: string): Promise<unknown> {
  try {
    return JSON.parse(await env.files.readFile(file, 'utf8'))
  } catch (error) {
    // A global installation, or another package manager, has no such file.
    if (systemCodeOf(error) === 'ENOENT') return null
    throw error
  }
}

async function filesIn(env: Env, folder: string): Promise<readonly string[]> {
  const entries = await env.files.readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort()
}

const purposes: Readonly<Record<string, string>> = {
  'naru.config.ts': 'the project: read this first',
  'data/orders.csv': 'a sample source, with a few faults on purpose',
  'test/project.test.js': 'what the project promises: npm test',
}

function text(folder: string, files: readonly string[]): string {
  const width = Math.max(...files.map(file => file.length))
  return [
    `Wrote a first project to ${folder}:`,
    ...files.map(file => `  ${file.padEnd(width)}  ${purposes[file] ?? ''}`.trimEnd()),
    '',
    'Next:',
    `  cd ${folder}`,
    '  npm install',
    '  npx naru run',
    '  npx naru quarantine list',
    '  npx naru sql "select * from mart.sales_by_month order by all"',
  ].join('\n')
}
