import type { LoggedQuery, SqlModes } from '../../../../systems/mysql/binlog/events.ts'
import { namesOf, textsTaken, withoutComments } from './ddl-words.ts'

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
  readonly altered: NamedTable | null
  /** The statement, when rows may have changed with it that no event tells of. */
  readonly unseen: string | null
  /** Columns whose values in the rows that are there may be others behind the statement. */
  readonly touched: readonly TouchedColumn[]
  /** The table keeps its own history from now on: the log has old versions as rows of it. */
  readonly keepsHistory: boolean
  /** What is shown of the statement to people. */
  readonly shown: string
}

/** A column that a statement drops, defines anew, or gives the name of another one. `*` is every column. */
export interface TouchedColumn {
  readonly name: string
  /** Another column had the name before, or none: nothing that was known of its values holds. */
  readonly isAnother: boolean
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
  /^(create|alter|drop|rename)\s+(or\s+replace\s+)?(online\s+|offline\s+|ignore\s+|unique\s+|fulltext\s+|spatial\s+)*(tables?|index|database|schema)\b/i
const UNSEEN =
  /\b(truncate|drop|exchange|reorganize|coalesce|convert|discard|import)\s+(partition|tablespace)|\bconvert\s+table\b|^alter\s+(online\s+)?ignore\b|\bremove\s+partitioning|^rename\b|\brename\s+(?!column\b|index\b|key\b)(to\b|as\b|=|[`"\w])/i
const TRUNCATE = /^truncate\s+(table\s+)?(if\s+exists\s+)?/i
const HISTORY = /\b(add|with)\s+system\s+versioning\b/i
const CREATE = /^create\s+(?:or\s+replace\s+)?table\s+(if\s+not\s+exists\s+)?/i
const ALTER = /^alter\s+(?:online\s+|offline\s+|ignore\s+)*table\s+(?:if\s+exists\s+)?/i
const DROP = /^drop\s+tables?\s+(?:if\s+exists\s+)?/i
/** Verbs that write rows where a session logs statements: also by a function that a query calls. */
const ROWS: ReadonlySet<string> = new Set('insert update delete replace load call select with do'.split(' '))
/** What may stand before a statement and does not change what it is. */
const SETTINGS = /^set\s+statement\s[\s\S]*?\sfor\s+/i
const ANALYZED = /^analyze\s+(format\s*=\s*\w+\s+)?(?=(insert|update|delete|replace|select|with)\b)/i
/** So much of a statement is shown. */
const SHOWN_LETTERS = 200

/** Tells what a statement is, by its first words. */
export function statementOf({ text, database, modes = NO_MODES }: LoggedQuery): LoggedStatement {
  const words = withoutComments(text, modes).replace(SETTINGS, '').replace(ANALYZED, '')
  const verb = words.startsWith('(') ? 'select' : (/^\w+/.exec(words)?.[0].toLowerCase() ?? '')
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
      return SHAPE_OBJECT.test(words) ? shapeOf(words, database, modes) : { kind: 'other' }
  }
}

function shapeOf(words: string, database: string, modes: SqlModes): LoggedStatement {
  const create = CREATE.exec(words)
  const drop = DROP.exec(words)
  const alter = ALTER.exec(words)
  const ifMissing = create?.[1] !== undefined
  const plain = textsTaken(words, modes)
  // A session that logs rows writes the new table without the query that fills it.
  if (create !== null && /\bselect\b/i.test(plain.replace(QUOTED, '``')))
    return { kind: 'rows', verb: 'create … select' }
  return {
    kind: 'shape',
    created: create === null ? null : { ...namedTable(words.slice(create[0].length), database), ifMissing },
    dropped: drop === null ? [] : namesOf(words.slice(drop[0].length)).map(name => namedTable(name, database)),
    altered: alter === null ? null : namedTable(words.slice(alter[0].length), database),
    unseen: UNSEEN.test(plain.replace(QUOTED, '`x`')) ? words.slice(0, SHOWN_LETTERS) : null,
    touched: alter === null ? [] : touchedBy(plain.slice(alter[0].length)),
    keepsHistory: HISTORY.test(plain.replace(QUOTED, '`x`')),
    shown: words.slice(0, SHOWN_LETTERS),
  }
}

const NO_MODES: SqlModes = { ansiQuotes: false, noBackslash: false }
const QUOTED = /`(?:[^`]|``)+`|"(?:[^"]|"")+"/g
const NAME = '(`(?:[^`]|``)+`|"(?:[^"]|"")+"|[^\\s.,`"/;()]+)'
/** The parts of a statement that drop, rename or define a column that was there. */
const PARTS = new RegExp(
  `\\b(drop|change|modify|rename)\\s+(column\\s+)?(?:if\\s+exists\\s+)?${NAME}(?:\\s+(?:to\\s+)?${NAME})?`,
  'gi',
)
const NO_COLUMN = /^(primary|key|index|foreign|constraint|partition|check|default|period|system|to|as)$/i

function touchedBy(parts: string): readonly TouchedColumn[] {
  if (/\bconvert\s+to\s+(character|charset)\b/i.test(parts)) return [{ name: '*', isAnother: false }]
  return [...parts.matchAll(PARTS)].flatMap(([, verb = '', isColumn, first = '', second = '']): TouchedColumn[] => {
    if (isColumn === undefined && (NO_COLUMN.test(first) || verb.toLowerCase() === 'rename')) return []
    const [name, next] = [unquoted(first), unquoted(second)]
    switch (verb.toLowerCase()) {
      case 'drop':
        return [{ name, isAnother: true }]
      case 'modify':
        return [{ name, isAnother: false }]
      default:
        if (name.toLowerCase() === next.toLowerCase()) return [{ name, isAnother: false }]
        return [name, next].map(it => ({ name: it, isAnother: true }))
    }
  })
}

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

/** True when a statement may be about a table: statements name what they change. */
export function mayName({ text }: LoggedQuery, relation: string): boolean {
  if (!/^[\x20-\x7e]+$/.test(relation)) return true
  const [letters, name] = [text.replaceAll('``', '`').toLowerCase(), relation.toLowerCase()]
  if (!/^[\w$]+$/.test(name)) return letters.includes(name)
  return new RegExp(`(?<![\\w$])${name.replaceAll('$', '\\$')}(?![\\w$])`).test(letters)
}
