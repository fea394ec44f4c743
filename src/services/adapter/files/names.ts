import type { FilesShape } from '../contract.ts'

/** How senders mark a file that is not finished. */
const unfinishedSuffixes = ['.part', '.tmp', '.filepart', '.crdownload']

/** True when `name` matches the pattern: `*` is any text, `?` one character, everything else stands for itself. */
export function matchesGlob(glob: string, name: string): boolean {
  const pattern = [...glob]
  const text = [...name]
  let p = 0
  let t = 0
  // The last `*` and the text behind which it was tried: on a mismatch it takes one character more.
  let star = -1
  let starText = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++
      starText = t
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++
      t++
    } else if (star >= 0) {
      p = star + 1
      t = ++starText
    } else return false
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/** What a name of the folder means for a table: nothing, a file to take, or one whose sender has not finished. */
export function classify(name: string, files: FilesShape): 'other' | 'file' | 'unfinished' {
  const suffix = sidecarSuffix(files)
  if (suffix !== null && name.endsWith(suffix)) return 'other'
  const unfinished = unfinishedSuffixes.find(it => name.toLowerCase().endsWith(it))
  if (unfinished === undefined && !name.startsWith('.')) return matchesGlob(files.glob, name) ? 'file' : 'other'
  const intended = name.slice(0, name.length - (unfinished?.length ?? 0)).replace(/^\.+/, '')
  return matchesGlob(files.glob, intended) || matchesGlob(files.glob, name) ? 'unfinished' : 'other'
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
