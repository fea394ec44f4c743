import type { Env } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import type { Listing, Storage } from '../../storage/contract.ts'
import type { FilesShape, ReadsFiles, RemoteFile } from '../contract-files.ts'
import { folderFilter, folderOf } from '../../../core/glob.ts'
import { classify, markerOf, sidecarSuffix } from './names.ts'

/**
 * A file older than this by its storage's clock is not being written any more. More than a day, because FTP servers
 * that tell local time instead of UTC are off by up to 14 hours, in either direction.
 */
const freshMicros = 26n * 3_600_000_000n

/** What a listing needs. */
export interface Folder {
  readonly env: Env
  readonly storage: Storage
  /** Time between two looks at a file that may be growing. */
  readonly settleMs: number
}

type Found = Awaited<ReturnType<ReadsFiles['list']>>
type Waiting = Found['waiting'][number]

/** Sorts what lies in the folder into files to take and files to wait for (M4: a half-uploaded file is never taken). */
export async function listFolder(folder: Folder, files: FilesShape, signal: AbortSignal): Promise<Found> {
  const listing = await folder.storage.list(folderOf(files.glob), signal, folderFilter(files.glob))
  const candidates: RemoteFile[] = []
  const waiting: Waiting[] = listing.refused.map(name => ({
    name,
    why: 'its name or its link could lead out of the folder',
  }))
  for (const file of listing.files) {
    const kind = classify(file.key, files)
    if (kind === 'unfinished') waiting.push({ name: file.key, why: 'its name says that it is being written' })
    if (kind !== 'file') continue
    const known = await complete(folder, file, signal)
    if (known !== null) candidates.push(known)
  }
  const judged = await judge(folder, listing, candidates, files, signal)
  return {
    complete: judged.complete.toSorted(byTimeThenName),
    waiting: [...waiting, ...judged.waiting].sort((a, b) => compare(a.name, b.name)),
  }
}

/** A sender writes side-cars and markers last: with them there, the file is whole. Without either, time tells. */
async function judge(
  folder: Folder,
  listing: Listing,
  candidates: readonly RemoteFile[],
  files: FilesShape,
  signal: AbortSignal,
): Promise<Found> {
  if (sidecarSuffix(files) === null && files.done === undefined) return settled(folder, candidates, signal)
  const times = new Map(listing.files.map(file => [file.key, file.modifiedMicros]))
  // A listing without times says nothing of whether a marker is that of the file before: it is asked for.
  for (const marker of new Set(candidates.map(file => markerOf(file.name, files)))) {
    if (marker === null || times.get(marker) !== null) continue
    times.set(marker, (await statOrGone(folder, marker, signal))?.modifiedMicros ?? null)
  }
  const judged = candidates.map(file => ({ file, why: whyWaits(file, files, times) }))
  return {
    complete: judged.filter(it => it.why === null).map(it => it.file),
    waiting: judged.flatMap(({ file, why }) => (why === null ? [] : [{ name: file.name, why }])),
  }
}

function whyWaits(file: RemoteFile, files: FilesShape, times: ReadonlyMap<string, bigint | null>): string | null {
  const suffix = sidecarSuffix(files)
  if (suffix !== null && !times.has(`${file.name}${suffix}`)) return `its side-car ${file.name}${suffix} is not there`
  const marker = markerOf(file.name, files)
  if (marker === null) return null
  const marked = times.get(marker)
  if (marked === undefined) return `its marker ${marker} is not there`
  // The marker of an earlier file of that name: this one is being sent again.
  return marked !== null && marked < file.modifiedMicros ? `its marker ${marker} is older than it` : null
}

/** A listing entry with its time; `null` when the file went away meanwhile. */
async function complete(
  folder: Folder,
  file: Listing['files'][number],
  signal: AbortSignal,
): Promise<RemoteFile | null> {
  const { key, bytes, modifiedMicros } = file
  if (modifiedMicros !== null) return { name: key, bytes, modifiedMicros }
  return statOrGone(folder, key, signal)
}

async function statOrGone(folder: Folder, name: string, signal: AbortSignal): Promise<RemoteFile | null> {
  try {
    const { bytes, modifiedMicros } = await folder.storage.stat(name, signal)
    return { name, bytes, modifiedMicros }
  } catch (error) {
    if (isNaruError(error, 'STORAGE_NOT_FOUND')) return null
    throw error
  }
}

/** Without a side-car a file counts as whole when its size and time stay the same for a while. */
async function settled(folder: Folder, candidates: readonly RemoteFile[], signal: AbortSignal): Promise<Found> {
  const now = folder.env.clock.nowMicros()
  const isFresh = (file: RemoteFile): boolean => now - file.modifiedMicros < freshMicros
  if (!candidates.some(isFresh)) return { complete: candidates, waiting: [] }
  await folder.env.clock.sleep(folder.settleMs, signal)
  const complete: RemoteFile[] = []
  const waiting: Waiting[] = []
  for (const file of candidates) {
    const again = isFresh(file) ? await statOrGone(folder, file.name, signal) : file
    if (again !== null && again.bytes === file.bytes && again.modifiedMicros === file.modifiedMicros)
      complete.push(file)
    else waiting.push({ name: file.name, why: again === null ? 'it went away' : 'it is still growing' })
  }
  return { complete, waiting }
}

function byTimeThenName(a: RemoteFile, b: RemoteFile): number {
  if (a.modifiedMicros !== b.modifiedMicros) return a.modifiedMicros < b.modifiedMicros ? -1 : 1
  return compare(a.name, b.name)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
