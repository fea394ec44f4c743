import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ColumnType } from '../../../core/types.ts'
import { systemFacts } from './facts.ts'
import { isPlain, type WriteFacts } from './write-facts.ts'
import { spellFloat } from './writes-sqlite.ts'

const writesOf = (dbms: string): WriteFacts => systemFacts({ dbms }).writes as WriteFacts
const systems = ['PostgreSQL', 'MariaDB', 'SQLite'] as const

/** How a text is spelled for a column, or why it is not. */
function spelled(dbms: string, type: ColumnType, native: string, text: string): string {
  const spell = writesOf(dbms).spell(type, native)
  if (typeof spell === 'object') return `column: ${spell.problem}`
  const sql = spell(text)
  return typeof sql === 'string' ? sql : `value: ${sql.problem}`
}

/** What the arithmetic of SQLite makes of a spelling: floats only. */
function computed(sql: string): number {
  const [first = '', ...factors] = sql.split(/(?=[*/])/)
  return factors.reduce((value, it) => (it[0] === '*' ? value * Number(it.slice(1)) : value / Number(it.slice(1))), Number(first)) // prettier-ignore
}

const text: ColumnType = { kind: 'text' }
const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })

describe('literals of a write', () => {
  test('a literal holds no letter that a driver could read as a parameter, an escape or the end of a text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), value => {
        for (const dbms of systems) {
          const sql = writesOf(dbms).text(value)
          expect(sql).toMatch(/^[ -~]*$/)
          expect(sql).not.toMatch(/[?\\{}]/)
          if (isPlain(value)) expect(sql).toBe(`'${value}'`)
          else expect(sql).toContain(`'${Buffer.from(value).toString('hex')}'`)
        }
      }),
    )
  })

  test('a float for SQLite is an integer by powers of two, and exactly the float', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), value => {
        const sql = spellFloat(value) as string
        expect(computed(sql)).toBe(value)
        for (const number of sql.matchAll(/\d+(?=\.0)/g)) expect(BigInt(number[0]) < 2n ** 63n).toBe(true)
      }),
    )
  })

  test.each<[dbms: string, type: ColumnType, native: string, text: string, expected: string]>([
    ['PostgreSQL', text, 'character varying(3)', 'abcd', 'value: character varying(3) takes no 4 characters'],
    ['PostgreSQL', text, 'character varying(2)', '😀😀', `convert_from(decode('f09f9880f09f9880', 'hex'), 'UTF8')`],
    ['PostgreSQL', text, 'text', 'a\0', 'value: PostgreSQL has no NUL character in a text'],
    ['PostgreSQL', text, 'jsonb', '{}', 'column: is jsonb, which does not take every text as it is'],
    ['PostgreSQL', decimal(9, 3), 'numeric(9,2)', '1.005', 'column: is numeric(9,2), which does not take every decimal(9,3) as it is'], // prettier-ignore
    ['PostgreSQL', decimal(9, 2), 'numeric(5,2)', '1234.00', 'value: 1234.00 has more digits than numeric(5,2)'],
    ['PostgreSQL', { kind: 'int', bits: 64 }, 'smallint', '40000', 'value: 40000 is out of the range of smallint'],
    ['PostgreSQL', { kind: 'timestamp', zoned: false }, 'timestamp(0) without time zone', '2026-01-01 00:00:00.5', 'value: timestamp(0) without time zone would round 2026-01-01 00:00:00.5'], // prettier-ignore
    ['MariaDB', text, 'char(5)', 'a ', 'value: a CHAR loses the spaces at its end'],
    ['MariaDB', text, 'varchar(2)', 'a  ', 'value: varchar(2) takes no 3 characters'],
    ['MariaDB', text, 'tinytext', 'é'.repeat(128), 'value: tinytext takes no 256 bytes'],
    ['MariaDB', { kind: 'float', bits: 64 }, 'double', 'NaN', 'value: it is NaN'],
    ['MariaDB', { kind: 'float', bits: 64 }, 'double', '3', '3e0'],
    ['MariaDB', { kind: 'bytes' }, 'binary(4)', '\\x00ff', 'value: binary(4) would fill its 2 bytes up with zeros'],
    ['MariaDB', { kind: 'date' }, 'date', '0044-03-15 BC', 'value: 0044-03-15 BC is not in the years 1 to 9999'],
    ['MariaDB', { kind: 'timestamp', zoned: true }, 'timestamp(6)', '2026-01-01 00:00:00.5+00', `'2026-01-01 00:00:00.5'`], // prettier-ignore
    ['SQLite', { kind: 'float', bits: 64 }, 'REAL', 'NaN', 'value: SQLite has no NaN'],
    ['SQLite', text, 'BIGINT', '1', 'column: is declared BIGINT, which does not hold every text'],
    ['SQLite', decimal(9, 2), 'TEXT', '1.20', `'1.20'`],
    ['SQLite', decimal(9, 2), 'DECIMAL(9,2)', '1.20', '1.20'],
  ])('%s spells a %j for %s exactly or refuses it: %s', (dbms, type, native, value, expected) => {
    expect(spelled(dbms, type, native, value)).toBe(expected)
  })

  test('a system that nobody knows has no literals', () => {
    expect(systemFacts({ dbms: 'Oracle' }).writes).toBeNull()
  })
})
