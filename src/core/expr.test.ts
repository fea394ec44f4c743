import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cell, Engine } from '../services/engine/contract.ts'
import { never, openTestEngine } from '../testing/engine.ts'
import { columnIn, columnsOf, compileExpr, resolvesIn, type Expr } from './expr.ts'
import { ident, rawSql, sql } from './sql.ts'
import type { ColumnType } from './types.ts'

const text: ColumnType = { kind: 'text' }
const int: ColumnType = { kind: 'int', bits: 32 }
const bool: ColumnType = { kind: 'bool' }
const col = (name: string, type: ColumnType = text): Expr => ({ kind: 'column', name, type })
const lit = (value: string | number | boolean | null, type: ColumnType = text): Expr => ({
  kind: 'literal',
  value,
  type,
})
const cast = (arg: Expr, type: ColumnType): Extract<Expr, { kind: 'cast' }> => ({ kind: 'cast', arg, type })

function mapOf(otherwise: 'reject' | 'keep' | 'null'): Extract<Expr, { kind: 'map' }> {
  return {
    kind: 'map',
    arg: col('v'),
    cases: [
      ['Y', 'yes'],
      ["it's", 'quoted'],
      ['none', null],
    ],
    otherwise,
    type: text,
  }
}

let engine: Engine
beforeAll(async () => {
  engine = await openTestEngine()
})
afterAll(() => engine.close())

/** The expression over each value of the text column `v`. */
async function over(values: readonly (string | null)[], expr: Expr): Promise<readonly Cell[]> {
  const compiled = compileExpr(expr, { dialect: engine.dialect, column: columnIn('r') })
  const list = values.map(value => `(${engine.dialect.literal(value)})`).join(', ')
  return engine.transaction(never, async tx => {
    await tx.execute(sql`create or replace temp table rows_in as select v from (values ${rawSql(list)}) as x(v)`)
    const rows = await tx.rows(sql`select ${compiled} as v from temp.rows_in as r order by r.rowid`)
    return rows.map(row => row['v'] as Cell)
  })
}

describe('map', () => {
  const values = ['Y', "it's", 'none', 'other', null]

  test('reject and null give NULL for what has no case', async () => {
    expect(await over(values, mapOf('reject'))).toEqual(['yes', 'quoted', null, null, null])
    expect(await over(values, mapOf('null'))).toEqual(['yes', 'quoted', null, null, null])
  })

  test('keep leaves it as it is', async () => {
    expect(await over(values, mapOf('keep'))).toEqual(['yes', 'quoted', null, 'other', null])
    expect(await over(values, { ...mapOf('keep'), cases: [] })).toEqual(values)
  })

  test('cases may give numbers and truth values', async () => {
    const toInt: Expr = {
      ...mapOf('null'),
      cases: [
        ['Y', 1],
        ['N', 0],
      ],
      type: int,
    }
    expect(await over(['Y', 'N', 'x'], toInt)).toEqual([1, 0, null])
    const toBool: Expr = { ...mapOf('null'), cases: [['Y', true]], type: bool }
    expect(await over(['Y', 'x'], toBool)).toEqual([true, null])
  })
})

describe('case', () => {
  const longer: Expr = {
    kind: 'call',
    fn: 'gt',
    args: [{ kind: 'call', fn: 'length', args: [col('v')], type: int }, lit(2, int)],
    type: bool,
  }
  const same: Expr = { kind: 'call', fn: 'eq', args: [col('v'), lit('ab')], type: bool }

  test('the first branch that is true decides, an unknown one does not', async () => {
    const expr: Expr = {
      kind: 'case',
      branches: [
        { when: longer, then: lit('long') },
        { when: same, then: lit('ab!') },
      ],
      otherwise: lit('else'),
      type: text,
    }
    expect(await over(['abc', 'ab', 'a', null], expr)).toEqual(['long', 'ab!', 'else', 'else'])
  })
})

describe('literals and casts', () => {
  test('a literal has its type', async () => {
    expect(await over(['x'], lit('2024-02-29', { kind: 'date' }))).toEqual(['2024-02-29'])
    expect(await over(['x'], lit('1.50', { kind: 'decimal', precision: 5, scale: 2 }))).toEqual(['1.50'])
    expect(await over(['x'], lit(null, int))).toEqual([null])
  })

  test('casts nest, and one that fails leaves NULL for those around it', async () => {
    const twice = cast(cast(col('v'), { kind: 'decimal', precision: 6, scale: 2 }), int)
    expect(await over(['7.00', '7.5', 'x', null], twice)).toEqual([7, null, null, null])
  })
})

describe('walks', () => {
  const tree: Expr = {
    kind: 'case',
    branches: [{ when: { kind: 'call', fn: 'isNull', args: [col('b')], type: bool }, then: cast(col('a'), int) }],
    otherwise: cast({ ...mapOf('reject'), arg: col('b') }, int),
    type: int,
  }

  test('columns come once each, in order of first use', () => {
    expect(columnsOf(tree)).toEqual(['b', 'a'])
  })

  test('look-ups of golden keys are found wherever they stand, the outer first', () => {
    const inner: Expr = { kind: 'resolve', entity: 'city', contributor: 'a', by: [], type: text, personal: false }
    const by = [{ column: 'city', value: cast(inner, text) }]
    const outer: Expr = { kind: 'resolve', entity: 'airport', contributor: 'a', by, type: text, personal: false }
    const within: Expr = { ...(tree as Extract<Expr, { kind: 'case' }>), otherwise: outer }
    expect(resolvesIn(within).map(it => it.entity)).toEqual(['airport', 'city'])
    expect(resolvesIn(tree)).toEqual([])
  })
})

describe('resolve', () => {
  const expr: Expr = {
    kind: 'resolve',
    entity: 'airport',
    contributor: 'safety',
    by: [{ column: 'name', value: col('v') }],
    type: text,
    personal: false,
  }

  test('is compiled by the scope that has a crosswalk', async () => {
    const compiled = compileExpr(expr, {
      dialect: engine.dialect,
      column: columnIn('r'),
      resolve: (it, by) => sql`(${it.entity} || ':' || ${by[0] as (typeof by)[number]})`,
    })
    const rows = await engine.transaction(never, tx =>
      tx.rows(sql`select ${compiled} as v from (select 'x' as v) as ${ident('r')}`),
    )
    expect(rows).toEqual([{ v: 'airport:x' }])
  })

  test('is refused where there is none', () => {
    expect(() => compileExpr(expr, { dialect: engine.dialect, column: columnIn('r') })).toThrowError(/no crosswalk/)
  })
})
