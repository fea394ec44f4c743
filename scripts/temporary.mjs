// One temporary folder for everything that a test run makes, so that a run leaves nothing behind, however it ends.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A run makes something in its folder every few minutes; in another container its process is not to be seen from here. */
const abandonedMs = 3_600_000

/** Makes the folder of this run, and removes those of runs that were killed. */
export function makeTemporary() {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^naru-test-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid)) && isOld(join(tmpdir(), name))) removeTemporary(join(tmpdir(), name))
  }
  const folder = mkdtempSync(join(tmpdir(), `naru-test-${process.pid}-`))
  // As the system's own: servers run under accounts of their own.
  chmodSync(folder, 0o1777)
  return folder
}

/** The variables with which a child takes `folder` for the system's temporary one. */
export const temporaryVariables = folder => ({ ...process.env, TMPDIR: folder, TEMP: folder, TMP: folder })

/** Removes a folder with all that is in it; what tests mounted there is unmounted first. */
export function removeTemporary(folder) {
  for (const mount of mountsBelow(folder)) spawnSync('umount', ['--lazy', mount])
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  } catch (error) {
    // A server that a killed test left may still write; the next run tries again.
    process.stderr.write(`${folder} could not be removed: ${error.message}\n`)
  }
}

function mountsBelow(folder) {
  if (!existsSync('/proc/self/mounts')) return []
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const mounts = lines.map(line => line.split(' ')[1] ?? '').filter(mount => mount.startsWith(`${folder}/`))
  // The innermost first.
  return mounts.toReversed()
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function isOld(folder) {
  return Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) > abandonedMs
}
