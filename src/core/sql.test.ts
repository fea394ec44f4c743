import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { duckdbDialect } from '../systems/duckdb/dialect.ts'
import type { Cell, Engine } from '../services/engine/contract.ts'
import { never, openTestEngine } from '../testing/engine.ts'
import { Secret } from './secret.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Sql } from './sql.ts'

const text = (piece: Sql): string => renderSql(piece, duckdbDialect).text

let engine: Engine
beforeAll(async () => {
  engine = await openTestEngine()
})
afterAll(() => engine.close())

async function valueOf(piece: Sql): Promise<Cell> {
  const rows = await engine.transaction(never, tx => tx.rows(sql`select ${piece} as v`))
  return rows[0]?.['v'] ?? null
}

describe('rendering', () => {
  test('names are quoted, values are literals, pieces go in as they are', () => {
    const where = sql`${ident('a b')} = ${"it's"}`
    const whole = sql`select ${joinSql([ident('t', 'x'), sql`${1} + ${-2n}`])} from ${ident('s', 't')} where ${where}`
    expect(text(whole)).toBe(`select "t"."x", 1 + (-2) from "s"."t" where "a b" = 'it''s'`)
  })

  test('a piece can be used in many places', () => {
    const piece = sql`${ident('a')} = ${true}`
    expect(text(sql`${piece} or (${piece} and ${null} is null)`)).toBe('"a" = true or ("a" = true and null is null)')
  })

  test('a statement may have any number of parts', () => {
    const many = joinSql(Array.from({ length: 200_000 }, () => sql`${1}`))
    expect(text(sql`select ${many}`)).toBe(`select ${Array.from({ length: 200_000 }, () => '1').join(', ')}`)
    expect(text(joinSql([many, many]))).toHaveLength(2 * text(many).length + 2)
  })

  test('joining nothing gives nothing, and a separator stands only between', () => {
    expect(text(joinSql([]))).toBe('')
    expect(text(joinSql([rawSql('a'), rawSql('b')], ' and '))).toBe('a and b')
  })

  test('a secret is rendered, told apart, and shown nowhere else', () => {
    const piece = sql`select ${new Secret('hunter2')}`
    const rendered = renderSql(piece, duckdbDialect)
    expect(rendered.text).toBe(`select 'hunter2'`)
    expect(rendered.secrets.map(secret => secret.reveal())).toEqual(['hunter2'])
    expect(JSON.stringify(piece)).not.toContain('hunter2')
  })
})

describe('names', () => {
  test.each([
    ['', 'it is empty'],
    ['a\0b', 'NUL'],
    ['é'.repeat(513), '1026 bytes'],
  ])('%j is refused', (name, why) => {
    expect(() => text(sql`${ident('s', name)}`)).toThrowError(expect.objectContaining({ code: 'IDENT_INVALID' }))
    expect(() => text(sql`${ident('s', name)}`)).toThrowError(why)
  })

  test('any other name is that name and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(nameOf, async name => {
        const query = sql`(select ${ident('t', name)} from (select 7 as ${ident(name)}) as t)`
        expect(await valueOf(query)).toBe(7)
      }),
      { numRuns: 100 },
    )
  })

  const nameOf = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter(name => !name.includes('\0'))
})

describe('values', () => {
  test('any text comes back as it was', async () => {
    await fc.assert(
      fc.asyncProperty(textOf, async value => {
        expect(await valueOf(sql`${value}`)).toBe(value)
      }),
      { numRuns: 200 },
    )
  })

  test('any number comes back as it was', async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ noNaN: true, noDefaultInfinity: true }), async value => {
        expect(await valueOf(sql`cast(${value} as double)`)).toBe(value === 0 ? 0 : value)
      }),
      { numRuns: 200 },
    )
  })

  test('any 64-bit integer comes back as it was', async () => {
    await fc.assert(
      fc.asyncProperty(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), async value => {
        expect(await valueOf(sql`cast(${value} as bigint)`)).toBe(value)
      }),
      { numRuns: 100 },
    )
  })

  test.each([NaN, Infinity, 10n ** 40n, 'a\0b', 'half \ud83d'])('%s is refused', value => {
    expect(() => text(sql`${value}`)).toThrowError(expect.objectContaining({ code: 'LITERAL_INVALID' }))
  })

  const textOf = fc.string({ unit: 'binary', maxLength: 50 }).filter(value => !value.includes('\0'))
})
