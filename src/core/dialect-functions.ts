import { sql, type Ident, type Sql } from './sql.ts'

/**
 * What the SQL of stages needs and the common subset of the engines lacks. Every engine has all of them, with the same
 * result for the same values but where its sentence says otherwise: the conformance suite executes each.
 */
const dialectFunctions = [
  'asText',
  'toJson',
  'jsonField',
  'byteLength',
  'hexText',
  'sha256',
  'hashOf',
  'hashOfRow',
  'hexNumber',
  'micros',
  'timestampOf',
  'wide',
  'same',
  'sameAll',
  'distinctAbout',
  'wordsOf',
  'hasDigit',
  'typos',
] as const

export type DialectFunction = (typeof dialectFunctions)[number]

function call(name: DialectFunction, args: readonly (Sql | Ident)[]): Sql {
  return { kind: 'sql', parts: [{ call: name, args: args.map(arg => sql`${arg}`) }] }
}

/** A value as text: what keys, corrections and reports show. NULL stays NULL. */
export function asText(value: Sql | Ident): Sql {
  return call('asText', [value])
}

/** A value as the text of a JSON value: numbers and truth values as such, everything else as a string; NULL stays NULL. */
export function toJson(value: Sql | Ident): Sql {
  return call('toJson', [value])
}

/** The text of a field of a JSON object that is kept as text. */
export function jsonField(json: Sql | Ident, field: string): Sql {
  return call('jsonField', [sql`${json}`, sql`${field}`])
}

/** Bytes of a text in UTF-8. */
export function byteLength(text: Sql | Ident): Sql {
  return call('byteLength', [text])
}

/** Bytes as lower-case hexadecimal text. */
export function hexText(bytes: Sql | Ident): Sql {
  return call('hexText', [bytes])
}

/** SHA-256 of a text, as lower-case hexadecimal text. */
export function sha256Of(text: Sql | Ident): Sql {
  return call('sha256', [text])
}

/** A whole number of 64 bits for some values, the same for the same values. Each engine has its own. */
export function hashOf(values: readonly (Sql | Ident)[]): Sql {
  return call('hashOf', values)
}

/** Likewise for all columns of a relation. */
export function hashOfRow(alias: Ident): Sql {
  return call('hashOfRow', [alias])
}

/** The number that at most 15 hexadecimal digits stand for. */
export function hexNumber(digits: Sql): Sql {
  return call('hexNumber', [digits])
}

/** Microseconds of a date, a time or a timestamp, since midnight or 1970-01-01 UTC. Not for infinity. */
export function microsOf(time: Sql | Ident): Sql {
  return call('micros', [time])
}

/** The timestamp without zone of so many microseconds since 1970-01-01. */
export function timestampOf(micros: Sql | Ident): Sql {
  return call('timestampOf', [micros])
}

/** A whole number in a type in which no step of a calculation overflows. */
export function wide(value: Sql | Ident): Sql {
  return call('wide', [value])
}

/** Equality in which NULL equals NULL, in the form by which the engine can join large tables. */
export function same(a: Sql | Ident, b: Sql | Ident): Sql {
  return call('same', [a, b])
}

/**
 * `same` of several pairs, as one condition where that matters: an engine that joins several relations before it compares takes the
 * pairs one by one otherwise, and multiplies the rows. Not for floats and intervals, of which equal values have several texts.
 */
export function sameAll(pairs: readonly (readonly [Sql | Ident, Sql | Ident])[]): Sql {
  return call('sameAll', pairs.flat())
}

/** How many different values there are, a few percent off or exact. */
export function distinctAbout(value: Sql | Ident): Sql {
  return call('distinctAbout', [value])
}

/**
 * The words of a text, one a row, to stand in a SELECT list: without case, accents, apostrophes and punctuation.
 * `Chicago O'Hare-Int'l.` is CHICAGO, OHARE, INTL.
 */
export function wordsOf(text: Sql | Ident): Sql {
  return call('wordsOf', [text])
}

/** True where a text has a digit or another number sign. */
export function hasDigit(text: Sql | Ident): Sql {
  return call('hasDigit', [text])
}

/**
 * How many letters are left out, added, changed or swapped with their neighbour between two words. Bytes of UTF-8 are
 * counted: one letter of other scripts than Latin counts as two or three.
 */
export function typos(a: Sql | Ident, b: Sql | Ident): Sql {
  return call('typos', [a, b])
}
