import type { SqlModes } from '../../../../systems/mysql/binlog/events.ts'

const COMMENTS = String.raw`\/\*M?!\d*|\/\*[\s\S]*?\*\/|\*\/|--\s[^\n]*|#[^\n]*`
const BACKTICKED = '`(?:[^`]|``)*`'

/** What a session takes for text, and for a name in quotes: one of them may hold the marks of the other. */
function quotedBy({ ansiQuotes, noBackslash }: SqlModes): string {
  const between = (quote: string, hasEscapes: boolean): string =>
    hasEscapes
      ? String.raw`${quote}(?:[^${quote}\\]|\\[\s\S]|${quote}${quote})*${quote}`
      : `${quote}(?:[^${quote}]|${quote}${quote})*${quote}`
  return [between("'", !noBackslash), between('"', !noBackslash && !ansiQuotes), BACKTICKED].join('|')
}

/** The statement without its comments; what stands in executable comments stays, without their marks. */
export function withoutComments(text: string, modes: SqlModes): string {
  const words = new RegExp(`${quotedBy(modes)}|${COMMENTS}`, 'g')
  return text.replace(words, word => (/^['"`]/.test(word) ? word : ' ')).trim()
}

/** The statement with every text in it empty, so that nothing in one is taken for a word of the statement. */
export function textsTaken(words: string, modes: SqlModes): string {
  const isName = (quoted: string): boolean => quoted.startsWith('`') || (modes.ansiQuotes && quoted.startsWith('"'))
  return words.replace(new RegExp(quotedBy(modes), 'g'), quoted => (isName(quoted) ? quoted : "''"))
}

const NAMES = /(?:`(?:[^`]|``)*`|"(?:[^"]|"")*"|[^,`"])+/g

/** The names of a list, each as it is spelled. */
export function namesOf(list: string): readonly string[] {
  return [...list.matchAll(NAMES)].map(([name]) => name.trim())
}
