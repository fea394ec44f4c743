import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, test } from 'vitest'
import { realEnv } from './env.ts'
import { isNaruError } from './errors.ts'
import { makeSpool, noteDiskFull, removeSpool } from './spool.ts'

const folders: string[] = []

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function makeStateDir(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-spool-'))
  folders.push(folder)
  return folder
}

test('what a killed process left in the spool is removed by the next, what a living one has is kept', async () => {
  const stateDir = await makeStateDir()
  const child = spawn(process.execPath, ['-e', ''])
  const gone = child.pid as number
  await new Promise(resolve => child.on('exit', resolve))
  await mkdir(path.join(stateDir, 'spool', `${gone}-abc`), { recursive: true })
  await mkdir(path.join(stateDir, 'spool', `${process.ppid}-abc`))
  const spool = await makeSpool(realEnv(), stateDir)
  assert.deepEqual(
    (await readdir(path.join(stateDir, 'spool'))).sort(),
    [`${process.ppid}-abc`, path.basename(spool)].sort(),
  )
})

test('removing a spool twice is harmless', async () => {
  const stateDir = await makeStateDir()
  const spool = await makeSpool(realEnv(), stateDir)
  await removeSpool(realEnv(), spool)
  await removeSpool(realEnv(), spool)
  assert.deepEqual(await readdir(path.join(stateDir, 'spool')), [])
})

test('a full disk is told from other errors', async () => {
  const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }))
  await assert.rejects(noteDiskFull('/a', failing('ENOSPC')), error => isNaruError(error, 'DISK_FULL'))
  await assert.rejects(noteDiskFull('/a', failing('EIO')), /EIO/)
})
