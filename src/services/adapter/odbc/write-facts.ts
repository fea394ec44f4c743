import type { Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'

/** Why a column cannot hold a value, or values of a type. */
export interface Refusal {
  readonly problem: string
}

/** SQL of a value that is spelled as `cellText` does, or why the column does not hold it. */
export type Spell = (text: string) => string | Refusal

/** What is known of writing a system. Only systems with these facts are written: nothing is left to what a driver guesses. */
export interface WriteFacts {
  /** The type that holds every value exactly, but those that are refused by name; `null` when there is none. */
  readonly typeName: (type: ColumnType) => string | null
  /** The type of a column of the primary key in a table that is made, where it must be another; `keys` columns share the index. */
  readonly keyTypeName: (type: ColumnType, keys: number) => string | null
  /** How values of `type` are spelled for a column that the catalog declares so. */
  readonly spell: (type: ColumnType, nativeType: string) => Spell | Refusal
  /** Any text as a literal that neither a driver nor the system reads otherwise. */
  readonly text: (value: string) => string
  /** Behind the columns of CREATE TABLE. */
  readonly tableEnd: string
  /** One value: why the table cannot be written, NULL when it can. */
  readonly problemOf: (schema: string | null, table: string) => Sql
  /**
   * One row: how many foreign keys point to the table, and how many columns it has. `null`: a row that is deleted and put
   * back takes nothing along there.
   */
  readonly pointedTo: ((schema: string | null, table: string) => Sql) | null
  /** Rows of column and type, for a stage with the same; `null`: the declared types say all. */
  readonly wholeTypes: ((table: string) => Sql) | null
  /** Rows of one name: the tables of the schema that begin with `_naru_` and are the account's to drop. */
  readonly stages: (schema: string | null) => Sql
  /** The clock of the system in whole seconds, a number. */
  readonly nowSeconds: Sql
  /** One value: the most bytes of a statement; `null`: no such limit. */
  readonly statementBytes: string | null
  /** Bits of `TXN` for a publish. */
  readonly isolations: number
  /** Begins a publish: other writers of the table wait from here on. `null`: the isolation holds them. */
  readonly lock: ((table: Sql, units: Sql) => Sql) | null
  /** `table` is called `t`, the stage `s`; `sets` are pairs of column and value, `key` those that are compared. */
  readonly update: (table: Sql, stage: Sql, sets: readonly Pair[], key: readonly Pair[]) => Sql
  readonly delete: (table: Sql, stage: Sql, key: readonly Pair[]) => Sql
}

/** A column of the target, and the staged column that goes with it. */
export interface Pair {
  readonly column: Sql
  readonly staged: Sql
}

/** Letters that no driver and no setting reads otherwise between quotes: no quote, backslash, `?` or brace. */
const PLAIN = /^[ -&(->@-[\]-z|~]*$/

/** True for a text that is its own literal when it stands between quotes. */
export function isPlain(text: string): boolean {
  return PLAIN.test(text)
}

/** The bytes of a text as hexadecimal digits. */
export function hexOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('hex')
}

/** The digits of a value of bytes, which `cellText` spells `\x…`. */
export function bytesHex(text: string): string {
  return text.slice(2)
}

/** A text between quotes. Only for what `isPlain`. */
export function plain(text: string): string {
  return `'${text}'`
}

/** Checks a value before it is spelled. */
export function checked(problemOf: (text: string) => string | null, spell: Spell): Spell {
  return text => {
    const problem = problemOf(text)
    return problem === null ? spell(text) : { problem }
  }
}

/** Refuses a text with more characters, as a database counts them. */
export function atMost(characters: number, native: string): (text: string) => string | null {
  return text => {
    if (text.length <= characters) return null
    const found = [...text].length
    return found <= characters ? null : `${native} takes no ${found} characters`
  }
}

/** Refuses an integer that the bits do not hold. */
export function inBits(bits: number, native: string): (text: string) => string | null {
  const limit = 1n << BigInt(bits - 1)
  return text => {
    const value = BigInt(text)
    return value >= -limit && value < limit ? null : `${text} is out of the range of ${native}`
  }
}

/** Refuses a number with more digits before its point than `precision - scale`. */
export function inDigits(precision: number, scale: number, native: string): (text: string) => string | null {
  return text => {
    const whole = (/^-?0*(\d*)/.exec(text)?.[1] ?? '').length
    return whole <= precision - scale ? null : `${text} has more digits than ${native}`
  }
}

/** Refuses a time with more digits after its second. */
export function toDigits(digits: number, native: string): (text: string) => string | null {
  return text => {
    const found = (/\.(\d+)/.exec(text)?.[1] ?? '').length
    return found <= digits ? null : `${native} would round ${text}`
  }
}

/** The value of a float, of 32 bits as the number that it is and not as its shortest text. */
export function floatOf(bits: 32 | 64, text: string): number {
  return bits === 32 ? Math.fround(Number(text)) : Number(text)
}
