import { once } from 'node:events'
import zlib from 'node:zlib'
import type * as yauzl from 'yauzl'
import { fail, isNaruError } from '../../../core/errors.ts'
import { damaged, reasonOf } from './faults.ts'
import { matchesGlob } from '../../../core/glob.ts'
import { membersMax } from './limits.ts'
import type { Packed } from './packed.ts'

interface ZipMember {
  readonly name: string
  readonly chunks: AsyncIterable<Uint8Array>
}

/** The type of a member in the upper bits of its attributes, as Unix writes them. */
const fileTypeMask = 0o170000
const symbolicLink = 0o120000

/**
 * The members of an archive that match, in its order, each with its checksum proven. An archive with a name that leads
 * out of a folder, a link or a password is refused whole, whatever else is in it.
 */
export async function* zipMembers(packed: Packed, driver: typeof yauzl): AsyncGenerator<ZipMember> {
  const zip = await opened(packed, driver)
  try {
    const entries = await entriesOf(packed, zip)
    const wanted = entries.filter(it => isWanted(packed, it.fileName))
    if (wanted.length === 0)
      throw fail('FILE_MEMBER', { file: packed.file, problem: `it has no file ${packed.members}` })
    for (const entry of wanted) {
      yield { name: entry.fileName, chunks: bytesOfEntry(packed, zip, entry) }
    }
  } finally {
    zip.close()
  }
}

function opened(packed: Packed, driver: typeof yauzl): Promise<yauzl.ZipFile> {
  const options = { lazyEntries: true, autoClose: false, strictFileNames: true, validateEntrySizes: true }
  return new Promise((resolve, reject) => {
    driver.open(packed.localPath, options, (error, zip) =>
      error === null
        ? resolve(zip)
        : reject(damaged(packed.file, `its directory is broken (${reasonOf(error)})`, error)),
    )
  })
}

async function entriesOf({ file }: Packed, zip: yauzl.ZipFile): Promise<readonly yauzl.Entry[]> {
  const refuse = (problem: string, cause?: unknown): Error =>
    fail('FILE_MEMBER', { file, problem }, cause === undefined ? undefined : { cause })
  if (zip.entryCount > membersMax) throw refuse(`it has ${zip.entryCount} members; ${membersMax} is the most`)
  const entries: yauzl.Entry[] = []
  const ended = once(zip, 'end')
  zip.on('entry', (entry: yauzl.Entry) => {
    entries.push(entry)
    zip.readEntry()
  })
  zip.readEntry()
  try {
    await ended
  } catch (error) {
    throw refuse(reasonOf(error), error) // a name with `..`, an absolute one, a drive letter, a backslash
  }
  for (const entry of entries) {
    const shown = JSON.stringify(entry.fileName)
    if (entry.fileName.includes('\0')) throw refuse(`the name ${shown} holds a NUL`)
    if (((entry.externalFileAttributes >>> 16) & fileTypeMask) === symbolicLink) throw refuse(`${shown} is a link`)
    if ((entry.generalPurposeBitFlag & 1) !== 0) throw refuse(`${shown} needs a password`)
  }
  return entries
}

/** Folders, and what macOS adds, are no files of the sender. */
function isWanted({ members }: Packed, name: string): boolean {
  const isNoise = name.endsWith('/') || name.startsWith('__MACOSX/') || /(?:^|\/)\./.test(name)
  return !isNoise && matchesGlob(members, name)
}

async function* bytesOfEntry(packed: Packed, zip: yauzl.ZipFile, entry: yauzl.Entry): AsyncGenerator<Uint8Array> {
  let sum = 0
  try {
    const stream = await new Promise<AsyncIterable<Uint8Array>>((resolve, reject) => {
      zip.openReadStream(entry, (error, it) => (error === null ? resolve(it) : reject(error)))
    })
    for await (const chunk of stream) {
      sum = zlib.crc32(chunk, sum)
      yield chunk
    }
  } catch (error) {
    throw isNaruError(error)
      ? error
      : damaged(`${packed.file}/${entry.fileName}`, `its zip data is broken (${reasonOf(error)})`, error)
  }
  if (sum !== entry.crc32) throw damaged(`${packed.file}/${entry.fileName}`, 'its checksum in the archive is another')
}
