import type { FilesShape } from '../contract-files.ts'
import { matchesGlob } from '../../../core/glob.ts'

/** How senders mark a file that is not finished: it is taken under the name that it is given at the end. */
const unfinishedSuffixes = [
  '.part',
  '.partial',
  '.tmp',
  '.temp',
  '.filepart',
  '.crdownload',
  '.uploading',
  '.inprogress',
]
const unfinishedTail = new RegExp(`(?:${unfinishedSuffixes.map(it => `\\${it}`).join('|')}|\\._COPYING_|~)$`, 'i')
/** Hidden, as rsync and others write; `~` are locks and copies of editors. */
const unfinishedHead = /^[.~]+\$?/

/** What a key means for a table: nothing, a file to take, or one whose sender has not finished. */
export function classify(key: string, files: FilesShape): 'other' | 'file' | 'unfinished' {
  const { folder, name } = splitKey(key)
  const suffix = sidecarSuffix(files)
  if ((suffix !== null && name.endsWith(suffix)) || isMarker(name, files)) return 'other'
  const isMatch = matchesGlob(files.glob, key)
  const intended = name.replace(unfinishedTail, '').replace(unfinishedHead, '')
  if (intended !== name) return isMatch || matchesGlob(files.glob, keyIn(folder, intended)) ? 'unfinished' : 'other'
  if (!isMatch) return 'other'
  return isBeingMade(folder, files.glob) ? 'unfinished' : 'file'
}

/** Spark, Hive and others write below folders such as `_temporary` and `.staging`, unless the pattern names one itself. */
function isBeingMade(folder: string, glob: string): boolean {
  const named = glob.split('/')
  return folder.split('/').some(part => /^[._]/.test(part) && !named.includes(part))
}

/** The key of the marker that says that `key` is whole; `null` when the table has none. */
export function markerOf(key: string, files: FilesShape): string | null {
  if (files.done === undefined) return null
  const { folder, name } = splitKey(key)
  return keyIn(
    folder,
    files.done.replace('*', () => name),
  )
}

/** `*.done` stands for one marker beside each file, a name without `*` for one in each folder. */
function isMarker(name: string, { done }: FilesShape): boolean {
  return done !== undefined && matchesGlob(done, name)
}

function splitKey(key: string): { readonly folder: string; readonly name: string } {
  const cut = key.lastIndexOf('/')
  return { folder: key.slice(0, Math.max(cut, 0)), name: key.slice(cut + 1) }
}

function keyIn(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}

/** `.md5` for `airports.csv.md5`; `null` when the table has no side-cars. */
export function sidecarSuffix(files: FilesShape): '.md5' | '.sha256' | null {
  switch (files.checksum) {
    case 'md5-sidecar':
      return '.md5'
    case 'sha256-sidecar':
      return '.sha256'
    case 'none':
      return null
  }
}

/** The sum in a side-car: bare, as `md5sum` writes it (`sum  name`), or as BSD does (`MD5 (name) = sum`). */
export function parseSidecar(text: string, algorithm: 'md5' | 'sha256'): string | null {
  const digits = algorithm === 'md5' ? 32 : 64
  const line =
    text
      .replace(/^\ufeff/, '')
      .trimStart()
      .split(/[\r\n]/)[0] ?? ''
  const match = new RegExp(`^(?:\\\\?([0-9a-f]{${digits}})(?:\\s.*)?|.*=\\s*([0-9a-f]{${digits}})\\s*)$`, 'i').exec(
    line,
  )
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null
}
