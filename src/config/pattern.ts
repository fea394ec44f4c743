import { mistake } from './mistake.ts'

/** What JavaScript has and RE2 lacks, or means otherwise. */
const unsafe: readonly (readonly [RegExp, string])[] = [
  [/\(\?<?[=!]/, 'looks ahead or behind'],
  [/\\[1-9]|\\k</, 'refers back to a group'],
  [/\\u/, 'writes a character as \\u; write the character itself'],
  [/\\c[A-Za-z]/, 'writes a control character as \\c; write it as \\x'],
  [/\[\^?\]/, 'has an empty set []'],
  [/[*+?}]\+/, 'has a possessive repetition'],
  [/\{(?:\d*,)?\d{4,}/, 'repeats over 999 times'],
]

/**
 * The RE2 text of a pattern, given as such or as a regular expression of JavaScript that means the same in RE2, which
 * engines use because it never takes exponential time.
 */
export function re2Of(pattern: string | RegExp): string {
  const source = typeof pattern === 'string' ? pattern : pattern.source
  const flags = typeof pattern === 'string' ? '' : pattern.flags
  for (const [test, why] of unsafe) {
    if (test.test(withoutEscapedBackslashes(source)))
      throw mistake(`the pattern /${source}/ ${why}, which RE2 cannot do`)
  }
  const wrong = /[^imsu]/.exec(flags)
  if (wrong !== null)
    throw mistake(`the pattern /${source}/${flags} has the flag "${wrong[0]}", which has no meaning here`)
  assertReads(source)
  const kept = flags.replace('u', '')
  return kept === '' ? source : `(?${kept})${source}`
}

function withoutEscapedBackslashes(source: string): string {
  return source.replaceAll('\\\\', '')
}

/** Catches unbalanced brackets and the like; the few forms only RE2 has are put aside first. */
function assertReads(source: string): void {
  const common = source
    .replaceAll('(?P<', '(?<')
    .replace(/^\(\?[imsU]+\)/, '')
    .replaceAll(/\\[AzQEC]|\[:\w+:\]/g, '')
  try {
    RegExp(common)
  } catch (error) {
    throw Object.assign(mistake(`the pattern /${source}/ cannot be read: ${(error as Error).message}`), {
      cause: error,
    })
  }
}
