import { fail } from '../../core/errors.ts'

/** Longest key in bytes: the limit of a path on most systems is 4,096, of a name 255. */
const keyBytesMax = 1024

/** Ends the name of a file that is being put; listings leave such names out. */
export const puttingSuffix = '.naru-part'

/** The key itself, when it is a relative path that stays below its root on every system; throws `PATH_OUTSIDE` otherwise. */
export function checkKey(key: string, root: string): string {
  if (!isSafeKey(key)) throw fail('PATH_OUTSIDE', { path: key, root })
  return key
}

/** True for `a.csv` and `in/a.csv`; false for `../a`, `/a`, `C:\a`, `a//b`, and names with control characters. */
export function isSafeKey(key: string): boolean {
  if (key === '' || Buffer.byteLength(key) > keyBytesMax) return false
  // A line break would end an FTP command and begin another; a backslash or a drive is a path on Windows servers.
  if (/[\p{Cc}\\]|^[A-Za-z]:/u.test(key)) return false
  return key.split('/').every(part => part !== '' && part !== '.' && part !== '..')
}

/** `in/a.csv` for `a.csv` in folder `in`; `a.csv` in the root `''`. */
export function keyIn(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}
