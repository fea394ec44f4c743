import { fail } from './errors.ts'
import { Secret } from './secret.ts'
import type { ColumnType } from './types.ts'
import type { FnName } from './expr.ts'
import type { DialectFunction } from './dialect-functions.ts'
import { createHash } from 'node:crypto'

/** A value that may stand in SQL. It is always rendered as a quoted literal, never pasted. */
export type SqlValue = string | number | bigint | boolean | null | Secret

/** A name that may stand in SQL: made only by `ident()`. */
export interface Ident {
  readonly kind: 'ident'
  readonly path: readonly string[]
}

/** A piece of SQL that is safe to put together: text from our own sources, identifiers, values. */
export interface Sql {
  readonly kind: 'sql'
  readonly parts: readonly SqlPart[]
}

type SqlPart = string | Ident | { readonly value: SqlValue } | DialectCall

/** A call of a dialect function: its SQL is known only where the dialect is, so it is written when the text is made. */
export interface DialectCall {
  readonly call: DialectFunction
  readonly args: readonly Sql[]
}

/** What differs between the SQL of two systems. Each engine and each database adapter has one. */
export interface Dialect {
  /** Longest identifier in bytes that the system keeps without cutting it. */
  readonly identBytesMax: number
  /** Most columns that a table may have; absent where nobody meets the limit. */
  readonly columnsMax?: number
  quote(name: string): string
  literal(value: string | number | bigint | boolean | null): string
  type(type: ColumnType): string
  /** SQL of one portable function. Engines have all; a source's dialect may have none. */
  fn(name: FnName, args: readonly Sql[], type: ColumnType): Sql
  /** A cast that gives NULL where the value does not fit, so that the row can be set aside instead of ending the query. */
  tryCast(arg: Sql, type: ColumnType): Sql
  /** SQL of a dialect function, see `core/dialect-functions.ts`. Engines have all; a source's dialect has none. */
  call?(name: DialectFunction, args: readonly Sql[]): Sql
  /** The schema of temporary tables, which `ident('temp', …)` stands for. Names in it are of one session: see `quoteTemporary`. */
  readonly temporarySchema?: string
}

/**
 * Names an object: `ident('staging', 'ops_flight')` renders as `"staging"."ops_flight"`.
 * The only way a name reaches SQL, so that a source's table called `x"; drop …` stays a name.
 */
export function ident(...path: string[]): Ident {
  for (const name of path) {
    if (name === '') throw fail('IDENT_INVALID', { name, why: 'it is empty' })
    if (name.includes('\0')) throw fail('IDENT_INVALID', { name, why: 'it holds a NUL character' })
  }
  return { kind: 'ident', path }
}

/** Builds SQL: identifiers and pieces of SQL go in as they are, every other value as a quoted literal. */
export function sql(strings: TemplateStringsArray, ...holes: readonly (Sql | Ident | SqlValue)[]): Sql {
  const parts: SqlPart[] = []
  strings.forEach((text, i) => {
    if (text !== '') parts.push(text)
    if (i >= holes.length) return
    const hole = holes[i] as Sql | Ident | SqlValue
    if (typeof hole !== 'object' || hole === null || hole instanceof Secret) parts.push({ value: hole })
    else addParts(parts, hole)
  })
  return { kind: 'sql', parts }
}

/** One by one: a statement about ten thousand columns has more parts than a call may have arguments. */
function addParts(parts: SqlPart[], piece: Sql | Ident): void {
  if (piece.kind === 'sql') for (const part of piece.parts) parts.push(part)
  else parts.push(piece)
}

/** Raw text that a user wrote for this engine. Never call it with text from data. */
export function rawSql(text: string): Sql {
  return { kind: 'sql', parts: [text] }
}

/** Joins pieces with a separator: `joinSql(columns.map(c => ident(c)))`. */
export function joinSql(pieces: readonly (Sql | Ident)[], separator = ', '): Sql {
  const parts: SqlPart[] = []
  pieces.forEach((piece, i) => {
    if (i > 0) parts.push(separator)
    addParts(parts, piece)
  })
  return { kind: 'sql', parts }
}

/** The text to send, and the secrets in it, so that an error message about it can be redacted. */
export interface RenderedSql {
  readonly text: string
  readonly secrets: readonly Secret[]
}

export function renderSql(piece: Sql, dialect: Dialect): RenderedSql {
  const secrets: Secret[] = []
  const text = (part: SqlPart): string => {
    if (typeof part === 'string') return part
    if ('path' in part) return nameText(part, dialect)
    if ('call' in part) return callSql(part, dialect).parts.map(text).join('')
    if (!(part.value instanceof Secret)) return dialect.literal(part.value)
    secrets.push(part.value)
    return dialect.literal(part.value.reveal())
  }
  return { text: piece.parts.map(text).join(''), secrets }
}

function callSql({ call, args }: DialectCall, dialect: Dialect): Sql {
  if (dialect.call === undefined) throw fail('INTERNAL', { what: `the function ${call} was sent to a source` })
  return dialect.call(call, args)
}

function nameText({ path }: Ident, dialect: Dialect): string {
  const [schema, name] = path
  const { temporarySchema } = dialect
  if (temporarySchema === undefined || path.length !== 2 || schema !== 'temp') {
    return path.map(part => quoteChecked(part, dialect)).join('.')
  }
  return `${dialect.quote(temporarySchema)}.${dialect.quote(shortened(name as string, dialect.identBytesMax))}`
}

/** Bytes of the hash that ends a shortened name. */
const HASH_CHARACTERS = 16

/**
 * A name that fits: a longer one keeps its beginning and ends in a hash of the whole. Only for temporary tables, which
 * nobody asks for by name; any other name that is too long is an error.
 */
export function shortened(name: string, bytesMax: number): string {
  if (Buffer.byteLength(name) <= bytesMax) return name
  const kept = Buffer.from(name).subarray(0, bytesMax - HASH_CHARACTERS - 1)
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARACTERS)
  // A character that the cut split is left out.
  return `${new TextDecoder().decode(kept).replace(/\ufffd+$/, '')}_${hash}`
}

function quoteChecked(name: string, dialect: Dialect): string {
  const bytes = Buffer.byteLength(name)
  if (bytes > dialect.identBytesMax) {
    throw fail('IDENT_INVALID', { name, why: `it has ${bytes} bytes, this system keeps ${dialect.identBytesMax}` })
  }
  return dialect.quote(name)
}
