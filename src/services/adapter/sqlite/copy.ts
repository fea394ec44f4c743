import type { Env } from '../../../core/env.ts'
import path from 'node:path'
import { fail, systemCodeOf } from '../../../core/errors.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { SourceFile } from './errors.ts'

/** Files beside the database that belong to its state: the write-ahead log, or the journal of a broken transaction. */
export const companions = ['-wal', '-journal'] as const

const tries = 10
const waitMs = 200

/** A file system's clock may stand still this long: a change so soon after another leaves the same time. */
const tickMs = 25

/**
 * Copies the database and its companions as of one moment into `folder`, and gives the path of the copy.
 *
 * Reading the file in place would be wrong in two ways. The driver locks by a folder of its own beside the file, which
 * native SQLite does not know: a writer could change pages under a read, and a killed run would leave the lock behind.
 * And a file in WAL mode cannot be read without writing beside it. So the source's folder is only ever read, and a copy
 * counts only when nothing changed from before its first byte to after its last. What a crash or an open transaction of
 * the writer left in a companion is then rolled back in the copy, by SQLite itself.
 */
export async function copyDatabase(env: Env, at: SourceFile, folder: string, signal: AbortSignal): Promise<string> {
  const copy = path.join(folder, 'database')
  for (let attempt = 1; attempt <= tries; attempt++) {
    if (signal.aborted) throw fail('CANCELLED', { what: 'the copy of a database' }, { cause: signal.reason })
    await env.clock.sleep(attempt === 1 ? 0 : waitMs, signal)
    const before = await stampOf(env, at.file)
    if (before.newestMs > Number(env.clock.nowMicros() / 1000n) - tickMs) await env.clock.sleep(tickMs, signal)
    await noteDiskFull(copy, () => copyAll(env, at.file, copy))
    const after = await stampOf(env, at.file)
    if (after.text === before.text) return copy
  }
  throw fail('SOURCE_BUSY', { ...at, tries })
}

export async function copyAll(env: Env, file: string, copy: string): Promise<void> {
  // On file systems that can share blocks the copy costs nothing.
  const share = env.files.constants.COPYFILE_FICLONE
  await env.files.copyFile(file, copy, share)
  for (const suffix of companions) {
    await env.files.rm(copy + suffix, { force: true })
    await env.files.copyFile(file + suffix, copy + suffix, share).catch(unlessMissing)
  }
}

/** Size and time of the database and its companions, as text to compare. */
export async function stampOf(env: Env, file: string): Promise<{ readonly text: string; readonly newestMs: number }> {
  const main = await env.files.stat(file, { bigint: true })
  const others = await Promise.all(
    companions.map(suffix => env.files.stat(file + suffix, { bigint: true }).catch(unlessMissing)),
  )
  const stats = [main, ...others]
  return {
    text: stats.map(it => (it === null ? 'none' : `${it.ino} ${it.size} ${it.mtimeNs}`)).join(', '),
    newestMs: Math.max(...stats.map(it => Number((it?.mtimeNs ?? 0n) / 1_000_000n))),
  }
}

function unlessMissing(error: unknown): null {
  if (systemCodeOf(error) === 'ENOENT') return null
  throw error
}
