import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/**
 * Installs the real systems from the ordinary package sources: Debian packages, Go modules, Maven artifacts, Python packages. Each only
 * when it is not there; one at a time on this machine, because package managers lock themselves.
 */

/** Where what is built for tests is kept between runs: below the user's cache folder. */
const cacheDir = path.join(os.homedir(), '.cache', 'naru-test-systems')

/** Installs Debian packages that are missing, without starting their services. Needs root. */
export function needDebian(...packages: readonly string[]): void {
  underLock(() => {
    const missing = packages.filter(name => !isInstalled(name))
    if (missing.length === 0) return
    withoutServices(() => {
      const install = ['install', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300', ...missing]
      if (tryRun('apt-get', install) === null) return
      run('apt-get', ['update'])
      run('apt-get', install)
    })
  })
}

/** The binary of a Go module, built when it is not there: `needGo('github.com/minio/minio', 'v1.2.3')`. */
export function needGo(module: string, version: string): string {
  const binary = path.join(cacheDir, 'go', `${path.basename(module)}-${version}`)
  underLock(() => {
    if (existsSync(binary)) return
    const bin = path.dirname(binary)
    mkdirSync(bin, { recursive: true })
    const env = { ...process.env, GOBIN: bin, GOFLAGS: '-trimpath', CGO_ENABLED: '0' }
    run('go', ['install', `${module}@${version}`], env)
    run('mv', [path.join(bin, path.basename(module)), binary])
  })
  return binary
}

/** A folder with the jars that a pom names, fetched when they are not there. */
export function needMaven(name: string, pom: string): string {
  const folder = path.join(cacheDir, 'maven', name)
  underLock(() => {
    const done = path.join(folder, '.done')
    if (existsSync(done)) return
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'pom.xml'), pom)
    const goal = ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${path.join(folder, 'lib')}`]
    run('mvn', ['-f', path.join(folder, 'pom.xml'), ...goal])
    writeFileSync(done, '')
  })
  return path.join(folder, 'lib')
}

/** The interpreter of a virtual environment with these packages from PyPI, made when it is not there: `needPython('formats', 'pyarrow==21.0.0')`. */
export function needPython(name: string, ...packages: readonly string[]): string {
  const folder = path.join(cacheDir, 'python', name)
  const python = path.join(folder, 'bin', 'python')
  const wanted = `${packages.join('\n')}\n`
  underLock(() => {
    const done = path.join(folder, '.done')
    if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return
    rmSync(folder, { recursive: true, force: true })
    run('python3', ['-m', 'venv', folder])
    run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages])
    writeFileSync(done, wanted)
  })
  return python
}

/** The folder of an npm package at one version, fetched when it is not there. Its scripts do not run. */
export function needNpm(name: string, version: string): string {
  const folder = path.join(cacheDir, 'npm', `${name.replaceAll('/', '+')}-${version}`)
  underLock(() => {
    const done = path.join(folder, '.done')
    if (existsSync(done)) return
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }')
    run('npm', ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`])
    writeFileSync(done, '')
  })
  return path.join(folder, 'node_modules', name)
}

function isInstalled(name: string): boolean {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Status}', name], { encoding: 'utf8' })
  return stdout.startsWith('install ok installed')
}

/** Packages of servers start them when they are installed, unless a policy says no. */
function withoutServices(body: () => void): void {
  const policy = '/usr/sbin/policy-rc.d'
  const isOurs = !existsSync(policy)
  if (isOurs) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    body()
  } finally {
    if (isOurs) rmSync(policy, { force: true })
  }
}

/** Longest wait for another process that installs. */
const lockMsMax = 15 * 60_000

/** One installation at a time, over all processes. A lock of a process that is gone does not count. */
function underLock(body: () => void): void {
  mkdirSync(cacheDir, { recursive: true })
  const lock = path.join(cacheDir, 'lock')
  for (let waited = 0; !tryLock(lock); waited += 500) {
    if (waited > lockMsMax) throw new Error(`${lock} is held for more than ${lockMsMax / 60_000} minutes`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
  }
  try {
    body()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function tryLock(lock: string): boolean {
  try {
    mkdirSync(lock)
    writeFileSync(path.join(lock, String(process.pid)), '')
    return true
  } catch {
    const { stdout } = spawnSync('ls', [lock], { encoding: 'utf8' })
    const holder = Number(stdout.trim())
    if (holder > 0 && !existsSync(`/proc/${holder}`)) rmSync(lock, { recursive: true, force: true })
    return false
  }
}

function run(command: string, args: readonly string[], env = process.env): void {
  const problem = tryRun(command, args, env)
  if (problem !== null) throw new Error(`${command} ${args.join(' ')} failed:\n${problem}`)
}

/** `null` when it went well, otherwise what it printed last. */
function tryRun(command: string, args: readonly string[], env = process.env): string | null {
  const given = { encoding: 'utf8', env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, maxBuffer: 64 << 20 } as const
  const { status, stdout, stderr, error } = spawnSync(command, args, given)
  if (status === 0) return null
  return error?.message ?? `${stdout.slice(-2000)}\n${stderr.slice(-4000)}`
}
