import type { LoggedQuery } from '../../../../systems/mysql/binlog/events.ts'

/** What a statement in the log is to a reader of rows. */
export type LoggedStatement =
  | { readonly kind: 'begin' }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  /** Ends, or gives back a part of, a group in a way that leaves what rows took effect. */
  | { readonly kind: 'savepoint' }
  | { readonly kind: 'rollback to' }
  | { readonly kind: 'xa'; readonly verb: string }
  /** All rows of a table are gone. */
  | { readonly kind: 'truncate'; readonly schema: string; readonly table: string }
  /** Tables may have another shape. `isUnseen`: rows changed that no event tells of. */
  | { readonly kind: 'shape'; readonly isUnseen: boolean; readonly isNew: boolean }
  /** Rows that were changed by a statement that stands here instead of them. */
  | { readonly kind: 'rows'; readonly verb: string }
  | { readonly kind: 'other' }

const SHAPE = /^(create|alter|drop|rename)\b/i
const SHAPE_OBJECT =
  /^(create|alter|drop|rename)\s+(or\s+replace\s+)?(online\s+|offline\s+|ignore\s+|unique\s+|fulltext\s+|spatial\s+)*(table|index|database|schema)\b/i
const UNSEEN = /\b(truncate|drop|exchange|reorganize|coalesce|convert|discard|import|remove)\s+(partition|tablespace)/i
const ROWS = /^(insert|update|delete|replace|load|call)\b/i

/** Tells what a statement is, by its first words. */
export function statementOf({ text, database }: LoggedQuery): LoggedStatement {
  const words = withoutComments(text)
  const verb = /^\w+/.exec(words)?.[0].toLowerCase() ?? ''
  switch (verb) {
    case 'begin':
      return { kind: 'begin' }
    case 'commit':
      return { kind: 'commit' }
    case 'rollback':
      return { kind: /^rollback\s+(work\s+)?to\b/i.test(words) ? 'rollback to' : 'rollback' }
    case 'savepoint':
      return { kind: 'savepoint' }
    case 'xa':
      return { kind: 'xa', verb: /^xa\s+(\w+)/i.exec(words)?.[1]?.toLowerCase() ?? '' }
    case 'truncate':
      return truncated(words, database)
  }
  if (ROWS.test(words)) return { kind: 'rows', verb }
  if (!SHAPE.test(words) || !SHAPE_OBJECT.test(words)) return { kind: 'other' }
  return { kind: 'shape', isUnseen: UNSEEN.test(words), isNew: /^create\s+(or\s+replace\s+)?table\b/i.test(words) }
}

function truncated(words: string, database: string): LoggedStatement {
  const names = namesIn(words.replace(/^truncate\s+(table\s+)?(if\s+exists\s+)?/i, ''))
  const [first = '', second] = names
  return second === undefined
    ? { kind: 'truncate', schema: database, table: first }
    : { kind: 'truncate', schema: first, table: second }
}

/** `a.b` with its quotes taken away, from the beginning of a text. */
function namesIn(text: string): readonly string[] {
  const match = /^(`(?:[^`]|``)+`|"(?:[^"]|"")+"|[^\s.`"/;]+)(?:\s*\.\s*(`(?:[^`]|``)+`|"(?:[^"]|"")+"|[^\s.`"/;]+))?/.exec(text)
  return (match ?? []).slice(1).filter(name => name !== undefined).map(unquoted)
}

function unquoted(name: string): string {
  const quote = name[0]
  return quote === '`' || quote === '"' ? name.slice(1, -1).replaceAll(quote + quote, quote) : name
}

/** The statement without the comments and blanks before it; what stands in executable comments stays. */
function withoutComments(text: string): string {
  let rest = text
  for (;;) {
    const shorter = rest
      .replace(/^\s+/, '')
      .replace(/^\/\*(?!M?!)[\s\S]*?\*\//, '')
      .replace(/^(--\s|#)[^\n]*(\n|$)/, '')
      .replace(/^\/\*M?!\d*\s*/, '')
    if (shorter === rest) return rest
    rest = shorter
  }
}

/** True when a statement may be about a table: statements name what they change. */
export function mayName({ text }: LoggedQuery, relation: string): boolean {
  if (!/^[\x20-\x7e]+$/.test(relation)) return true
  return text.replaceAll('``', '`').toLowerCase().includes(relation.toLowerCase())
}
