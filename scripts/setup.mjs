// Makes a clone ready: installs what the lock file names and builds, each only when something changed since the last time.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const quiet = process.argv.includes('--quiet')

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  stop(`naru needs Node 20.19 or newer; this is ${process.versions.node}`)
}

install()
build()

function install() {
  const stamp = join(root, 'node_modules', '.naru-lock')
  const wanted = hashOf([join(root, 'package-lock.json'), join(root, 'package.json')])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  say('installing packages …')
  // No package may run a script of its own: none that Naru needs has to. Not `npm ci`: it refuses a lock file that does
  // not name the binaries of every platform, and not every registry carries those of all. --no-save leaves the lock as it is.
  npm(['install', '--ignore-scripts', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'])
  writeFileSync(stamp, wanted)
}

function build() {
  const stamp = join(root, 'dist', '.naru-build')
  const sources = filesBelow(join(root, 'src')).filter(file => !file.endsWith('.test.ts'))
  const wanted = hashOf([...sources, join(root, 'tsconfig.json'), join(root, 'package-lock.json')])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  say('building …')
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'tsconfig.json')])
  run(process.execPath, [join(root, 'scripts', 'after-build.mjs')])
  writeFileSync(stamp, wanted)
}

function npm(args) {
  const cli = process.env.npm_execpath
  if (cli !== undefined && /npm-cli\.c?js$/.test(cli)) run(process.execPath, [cli, ...args])
  else run('npm', args)
}

function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
  if (done.error) stop(`${command} could not be started: ${done.error.message}`)
  if (done.status === 0) return
  process.stderr.write(done.stdout + done.stderr)
  stop(`${[command, ...args].join(' ')} failed with status ${done.status}`)
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
}

function hashOf(files) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0')
  return hash.digest('hex')
}

function say(text) {
  if (!quiet || process.stderr.isTTY || process.env.CI) process.stderr.write(`${text}\n`)
}

function stop(text) {
  process.stderr.write(`setup: ${text}\n`)
  process.exit(1)
}
