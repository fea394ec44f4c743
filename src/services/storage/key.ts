import { fail } from '../../core/errors.ts'

/** Longest key in bytes: the limit of a path on most systems is 4,096, of a name 255. */
const keyBytesMax = 1024
const partBytesMax = 255

const devices = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i

/** Ends the name of a file that is being put; listings leave such names out. */
export const puttingSuffix = '.naru-part'

/** The hidden name beside `key` under which a put writes until all is there; `random` keeps two puts apart. */
export function puttingKey(key: string, random: string): string {
  return `${key.slice(0, key.lastIndexOf('/') + 1)}.${random}${puttingSuffix}`
}

/** The key itself, when it is a relative path that stays below its root on every system; throws `PATH_OUTSIDE` otherwise. */
export function checkKey(key: string, root: string): string {
  if (!isSafeKey(key)) throw fail('PATH_OUTSIDE', { path: key, root })
  return key
}

/**
 * True for `a.csv` and `in/a.csv`; false for a name that is another one, or a command, or a place outside, for any server,
 * system or terminal that it may pass: `../a`, `/a`, `a//b`, `C:\\a`, `nul.csv`, control characters, a dot at the end.
 */
export function isSafeKey(key: string): boolean {
  if (key === '' || Buffer.byteLength(key) > keyBytesMax) return false
  // A line break would end an FTP command and begin another; a backslash or a drive is a path on Windows servers.
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\\]|^[A-Za-z]:/u.test(key)) return false
  return key.split('/').every(isSafePart)
}

function isSafePart(part: string): boolean {
  // Windows drops dots and spaces at the end, and takes some names for devices, whatever follows their first dot.
  return part !== '' && !/[. ]$/.test(part) && !devices.test(part) && Buffer.byteLength(part) <= partBytesMax
}

/** `in/a.csv` for `a.csv` in folder `in`; `a.csv` in the root `''`. */
export function keyIn(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}
