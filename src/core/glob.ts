/**
 * True when the key of a file matches the pattern. `*` is any text and `?` one character of a name; a `**` that stands
 * alone between slashes is any number of folders, also none; everything else stands for itself.
 */
export function matchesGlob(glob: string, key: string): boolean {
  const parts = key.split('/')
  return matches(glob.split('/'), parts, { isAny: part => part === '**', isSame: matchesName })
}

/** The folder where a search for the pattern begins: its first parts without `*` or `?`. `''` is the root. */
export function folderOf(glob: string): string {
  const parts = glob.split('/').slice(0, -1)
  const wild = parts.findIndex(part => /[*?]/.test(part))
  return (wild < 0 ? parts : parts.slice(0, wild)).join('/')
}

/** Which sub-folders may hold a file of the pattern; `undefined` when all of them lie in `folderOf` itself. */
export function folderFilter(glob: string): ((folder: string) => boolean) | undefined {
  const all = glob.split('/')
  const parts = all.at(-1) === '**' ? all : all.slice(0, -1)
  if (parts.join('/') === folderOf(glob)) return undefined
  return folder => {
    for (const [i, name] of folder.split('/').entries()) {
      const part = parts[i]
      if (part === '**') return true
      if (part === undefined || !matchesName(part, name)) return false
    }
    return true
  }
}

function matchesName(pattern: string, name: string): boolean {
  return matches([...pattern], [...name], {
    isAny: char => char === '*',
    isSame: (wanted, char) => wanted === '?' || wanted === char,
  })
}

/** Matches a list against a pattern in which some items stand for any number of others; at most quadratic. */
function matches(
  pattern: readonly string[],
  items: readonly string[],
  how: { readonly isAny: (part: string) => boolean; readonly isSame: (part: string, item: string) => boolean },
): boolean {
  let p = 0
  let t = 0
  // The last part for any number and the items that it was tried with: on a mismatch it takes one more.
  let any = -1
  let anyUpTo = 0
  while (t < items.length) {
    const part = pattern[p]
    if (part !== undefined && how.isAny(part)) {
      any = p++
      anyUpTo = t
    } else if (part !== undefined && how.isSame(part, items[t] as string)) {
      p++
      t++
    } else if (any >= 0) {
      p = any + 1
      t = ++anyUpTo
    } else return false
  }
  while (p < pattern.length && how.isAny(pattern[p] as string)) p++
  return p === pattern.length
}
