import assert from 'node:assert/strict'
import { test } from 'vitest'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { folderDepthMax, listedMax, walk, type FolderListing } from './walk.ts'

const everywhere = (): boolean => true

test('a listing without end stops at its limit', async () => {
  const part = { files: Array.from({ length: 50_000 }, (_, i) => ({ key: `f${i}`, bytes: 1, modifiedMicros: 0n })) }
  let asked = 0
  const listOne = async (): Promise<FolderListing> => ({ ...part, refused: [], folders: [`d${asked++}`] })
  await rejectsWith('STORAGE_TOO_MANY', walk({ usedBy: 'a test', folder: '', enter: everywhere, listOne }))
  assert.ok(asked <= listedMax / 50_000 + 1)
})

test('folders without end stop at a depth', async () => {
  let deepest = 0
  const listOne = async (folder: string): Promise<FolderListing> => {
    deepest = Math.max(deepest, folder.split('/').length)
    return { files: [], refused: [], folders: [folder === '' ? 'd' : `${folder}/d`] }
  }
  await rejectsWith('STORAGE_TOO_DEEP', walk({ usedBy: 'a test', folder: '', enter: everywhere, listOne }))
  assert.equal(deepest, folderDepthMax)
})

test('refused names are shown without what a terminal would obey', async () => {
  const listOne = async (): Promise<FolderListing> => ({
    files: [],
    refused: ['\u001b[2J\u202ea', 'x'.repeat(999)],
    folders: [],
  })
  const { refused } = await walk({ usedBy: 'a test', folder: '', enter: undefined, listOne })
  assert.deepEqual(refused, ['x'.repeat(300), '\ufffd[2J\ufffda'])
})
