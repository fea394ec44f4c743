import type { LoggedQuery } from '../../../../systems/mysql/binlog/events.ts'

/** A table by the names of a statement. */
export interface NamedTable {
  readonly schema: string
  readonly table: string
}

/** Tables may have another shape. */
export interface ShapeStatement {
  readonly kind: 'shape'
  /** The table that is new; `ifMissing`: unless it was there. */
  readonly created: (NamedTable & { readonly ifMissing: boolean }) | null
  readonly dropped: readonly NamedTable[]
  /** The statement, when rows may have changed with it that no event tells of. */
  readonly unseen: string | null
}

/** What a statement in the log is to a reader of rows. */
export type LoggedStatement =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollback to' | 'other' }
  /** About a prepared transaction. */
  | { readonly kind: 'xa'; readonly verb: string }
  /** All rows of a table are gone. */
  | ({ readonly kind: 'truncate' } & NamedTable)
  /** Rows that were changed by a statement that stands here instead of them. */
  | { readonly kind: 'rows'; readonly verb: string }
  | ShapeStatement

const SHAPE_OBJECT =
  /^(create|alter|drop|rename)\s+(or\s+replace\s+)?(online\s+|offline\s+|ignore\s+|unique\s+|fulltext\s+|spatial\s+)*(table|index|database|schema)\b/i
const UNSEEN =
  /\b(truncate|drop|exchange|reorganize|coalesce|convert|discard|import)\s+(partition|tablespace)|\bremove\s+partitioning|^rename\b|\brename\s+((to|as)\s+)?[`"\w.]+\s*$/i
const TRUNCATE = /^truncate\s+(table\s+)?(if\s+exists\s+)?/i
const CREATE = /^create\s+(?:or\s+replace\s+)?table\s+(if\s+not\s+exists\s+)?/i
const DROP = /^drop\s+table\s+(?:if\s+exists\s+)?/i
const ROWS: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'replace', 'load', 'call'])
/** So much of a statement is shown. */
const SHOWN_LETTERS = 200

/** Tells what a statement is, by its first words. */
export function statementOf({ text, database }: LoggedQuery): LoggedStatement {
  const words = withoutComments(text)
  const verb = /^\w+/.exec(words)?.[0].toLowerCase() ?? ''
  switch (verb) {
    case 'begin':
    case 'commit':
    case 'savepoint':
      return { kind: verb }
    case 'rollback':
      return { kind: /^rollback\s+(work\s+)?to\b/i.test(words) ? 'rollback to' : 'rollback' }
    case 'xa':
      return { kind: 'xa', verb: /^xa\s+(\w+)/i.exec(words)?.[1]?.toLowerCase() ?? '' }
    case 'truncate':
      return { kind: 'truncate', ...namedTable(words.replace(TRUNCATE, ''), database) }
    default:
      if (ROWS.has(verb)) return { kind: 'rows', verb }
      return SHAPE_OBJECT.test(words) ? shapeOf(words, database) : { kind: 'other' }
  }
}

function shapeOf(words: string, database: string): ShapeStatement {
  const create = CREATE.exec(words)
  const drop = DROP.exec(words)
  const ifMissing = create?.[1] !== undefined
  return {
    kind: 'shape',
    created: create === null ? null : { ...namedTable(words.slice(create[0].length), database), ifMissing },
    dropped:
      drop === null
        ? []
        : words
            .slice(drop[0].length)
            .split(',')
            .map(name => namedTable(name.trim(), database)),
    unseen: UNSEEN.test(words) ? words.slice(0, SHOWN_LETTERS) : null,
  }
}

const NAME = '(`(?:[^`]|``)+`|"(?:[^"]|"")+"|[^\\s.`"/;(]+)'
const NAMES = new RegExp(`^${NAME}(?:\\s*\\.\\s*${NAME})?`)

/** `a.b` with its quotes taken away, from the beginning of a text. */
function namedTable(text: string, database: string): NamedTable {
  const [, first = '', second] = NAMES.exec(text) ?? []
  return second === undefined
    ? { schema: database, table: unquoted(first) }
    : { schema: unquoted(first), table: unquoted(second) }
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
      .trimStart()
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
