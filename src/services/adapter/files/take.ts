import { createHash } from 'node:crypto'
import { fail, isNaruError } from '../../../core/errors.ts'
import { resolveInside } from '../../../core/files.ts'
import { noteDiskFull } from '../../../core/spool.ts'
import type { FilesShape, RemoteFile, TakenFile } from '../contract-files.ts'
import type { Folder } from './list.ts'
import { partitionColumns, partitionValues } from './partitions.ts'
import { parseSidecar, sidecarSuffix } from './names.ts'

/** A side-car holds one line; what is longer is none. */
const sidecarBytesMax = 4096

/** How often one file is taken up again where its transfer broke off. */
const resumesMax = 5

interface Sums {
  readonly bytes: number
  readonly sha256: string
  readonly md5: string
}

/**
 * Copies a file into the spool under a name of our own, and proves the copy: as many bytes as were listed, the same
 * size and time afterwards, the sum of its side-car. A copy that fails is removed.
 */
export async function takeFile(
  folder: Folder,
  given: { readonly file: RemoteFile; readonly files: FilesShape; readonly spool: string; readonly number: number },
  signal: AbortSignal,
): Promise<TakenFile> {
  const { file, files, spool, number } = given
  const localPath = await resolveInside(folder.env, spool, `${number}.data`)
  try {
    const sums = await noteDiskFull(localPath, () => copy(folder, file, localPath, signal))
    await checkUnchanged(folder, file, signal)
    await checkSidecar(folder, file, files, sums, signal)
    return { ...file, contentHash: identityOf(file, files, sums.sha256), localPath }
  } catch (error) {
    await folder.env.files.rm(localPath, { force: true })
    throw error
  }
}

/** The same bytes in another partition are other rows: the values of the path belong to what the file says. */
function identityOf(file: RemoteFile, files: FilesShape, sha256: string): string {
  const values = partitionValues(file.name, partitionColumns(files))
  if (values.size === 0) return sha256
  return createHash('sha256')
    .update(`${sha256} ${JSON.stringify([...values].sort())}`)
    .digest('hex')
}

async function copy(folder: Folder, file: RemoteFile, localPath: string, signal: AbortSignal): Promise<Sums> {
  const sha256 = createHash('sha256')
  const md5 = createHash('md5')
  let bytes = 0
  const handle = await folder.env.files.open(localPath, 'wx', 0o600)
  try {
    for await (const chunk of readOn(folder, file, signal)) {
      bytes += chunk.length
      // Stopped here, so that a file without end cannot fill the disk.
      if (bytes > file.bytes) throw changed(file, `more than ${bytesText(file.bytes)}`)
      sha256.update(chunk)
      md5.update(chunk)
      await handle.writeFile(chunk)
    }
  } finally {
    await handle.close()
  }
  if (bytes !== file.bytes) throw changed(file, bytesText(bytes))
  return { bytes, sha256: sha256.digest('hex'), md5: md5.digest('hex') }
}

/** The bytes of a file. A transfer that breaks goes on behind the last good byte, as long as the file is what it was. */
async function* readOn(folder: Folder, file: RemoteFile, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for (let resumes = 0; ; resumes++) {
    try {
      for await (const chunk of folder.storage.get(file.name, bytes, signal)) {
        bytes += chunk.length
        yield chunk
      }
      return
    } catch (error) {
      const isBroken = isNaruError(error, 'STORAGE_BROKEN') || isNaruError(error, 'STORAGE_TIMEOUT')
      // Without a single byte there is nothing to go on with: the next run begins anew.
      if (!isBroken || bytes === 0 || bytes > file.bytes || resumes === resumesMax) throw error
      await checkUnchanged(folder, file, signal)
    }
  }
}

async function checkUnchanged(folder: Folder, file: RemoteFile, signal: AbortSignal): Promise<void> {
  const now = await folder.storage.stat(file.name, signal)
  if (now.bytes !== file.bytes) throw changed(file, bytesText(now.bytes))
  // A time that only the listing knows, or only to the minute, must not make every file look changed.
  const untold = now.modifiedMicros === 0n || file.modifiedMicros === 0n
  if (!untold && now.modifiedMicros / 1_000_000n !== file.modifiedMicros / 1_000_000n) {
    throw changed(file, 'the same size and another time')
  }
}

async function checkSidecar(
  folder: Folder,
  file: RemoteFile,
  files: FilesShape,
  sums: Sums,
  signal: AbortSignal,
): Promise<void> {
  const suffix = sidecarSuffix(files)
  if (suffix === null) return
  const algorithm = suffix === '.md5' ? 'md5' : 'sha256'
  const text = await readSidecar(folder, `${file.name}${suffix}`, signal)
  const expected = text === null ? null : parseSidecar(text, algorithm)
  if (expected === sums[algorithm]) return
  const said = expected ?? (text === null ? 'nothing (it is gone)' : `no ${algorithm} sum`)
  throw fail('FILE_CHECKSUM', { file: file.name, expected: said, found: sums[algorithm] })
}

async function readSidecar(folder: Folder, name: string, signal: AbortSignal): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of folder.storage.get(name, 0, signal)) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > sidecarBytesMax) break
    }
  } catch (error) {
    if (isNaruError(error, 'STORAGE_NOT_FOUND')) return null
    throw error
  }
  return Buffer.concat(chunks).toString('utf8')
}

function changed(file: RemoteFile, now: string): Error {
  return fail('FILE_CHANGED', { file: file.name, was: bytesText(file.bytes), now })
}

function bytesText(bytes: number): string {
  return `${bytes} bytes`
}
