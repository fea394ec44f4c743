import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { rm, statfs, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startNaru, type Ended } from '../support/command.ts'
import { inboxConfig, makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectRefused } from '../support/project.ts'

/** A disk that can be made too small for a while. */
interface TightDisk {
  readonly name: string
  /** Where a project may be; a temporary folder when absent. */
  readonly folder?: string
  /** Runs a project with only so many KiB of room. */
  run(inbox: Inbox, roomKiB: number): Promise<Ended>
  remove(): void
}

/** For everybody: no file may grow beyond the room. */
const limitedFiles: TightDisk = {
  name: 'a limit on the size of files',
  run: (inbox, roomKiB) => startNaru(inbox.folder, ['run'], { fileKiBMax: roomKiB }).ended,
  remove: () => {},
}

/** A real file system of its own, where this user may mount one: filled up but for the room. */
function smallDisk(): readonly TightDisk[] {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'naru-small-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    rmSync(folder, { recursive: true }) // only root may: the limit on files stands for it
    return []
  }
  const run: TightDisk['run'] = async (inbox, roomKiB) => {
    const filler = path.join(folder, 'filler')
    const { bavail, bsize } = await statfs(folder)
    await writeFile(filler, Buffer.alloc(Math.max(0, bavail * bsize - roomKiB * 1024)))
    const ended = await inbox.naru(['run'])
    await rm(filler)
    return ended
  }
  const remove = (): void => {
    execFileSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true })
  }
  return [{ name: 'a file system without space', folder, run, remove }]
}

const disks = [limitedFiles, ...smallDisk()]
afterAll(() => disks.forEach(disk => disk.remove()))

/** Text that does not compress, so that the rows need room. */
const noise = (i: number): string => createHash('sha256').update(String(i)).digest('hex')
const few = ordersCsv(...Array.from({ length: 100 }, (_, i) => `${i},Ann,${i},`))
const many = ordersCsv(...Array.from({ length: 30_000 }, (_, i) => `${i},${noise(i)},${i % 1000},${noise(-i)}`))

/** KiB: too little to take the file, to publish its rows, to begin at all. */
const rooms = [1_000, 4_500, 0]

describe('a full disk', () => {
  let undisturbed: Readonly<Record<string, string>>
  beforeAll(async () => {
    const roomy = await makeInbox()
    await roomy.put('order1.csv', few)
    await roomy.run()
    await roomy.put('order2.csv', many)
    await roomy.run()
    undisturbed = await roomy.visible()
    await roomy.remove()
  })

  test.each(disks)(
    '$name: the run says so, what was there stays, and a run with space completes as if nothing had been',
    async disk => {
      const inbox = await makeInbox(inboxConfig(), disk.folder)
      if (disk.folder === undefined) onTestFinished(() => inbox.remove())
      await inbox.put('order1.csv', few)
      await inbox.run()
      const before = await inbox.visible()

      await inbox.put('order2.csv', many)
      for (const room of rooms) {
        const ended = await disk.run(inbox, room)
        expectRefused(ended, {
          status: 1,
          code: 'DISK_FULL',
          says: ['no space left while writing', inbox.folder, 'Free space'],
        })
        expect(await inbox.visible()).toEqual(before)
      }
      expect(await inbox.run()).toMatchObject({ rowsStaged: 30_000, ods: { order: 30_000 } })
      expect(await inbox.visible()).toEqual(undisturbed)
    },
  )
})
