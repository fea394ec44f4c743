import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rawSql } from '../core/sql.ts'
import { isNaruError } from '../core/errors.ts'
import type { ExportDef } from '../config/model.ts'
import { loadDimension, type DimensionChanges } from './dimension.ts'
import { assertRanges } from './ranges.ts'
import { layOutDimension } from './dimension-layout.ts'
import { changeExport, column, dayText, openStar, timestamp, type ExportedRow, type Star } from './star.test.support.ts'
import type { HistoryDimensionDef } from './tables.ts'

const exported: ExportDef = {
  name: 'customer_x',
  entity: 'customer',
  columns: [column('code'), column('grade'), column('name'), column('since', timestamp)],
  key: ['code'],
  masks: [],
  where: null,
}

const customer: HistoryDimensionDef = {
  kind: 'history',
  name: 'customer',
  export: 'customer_x',
  key: ['code'],
  columns: exported.columns,
  type2: ['grade'],
  validFrom: 'since',
  onDelete: 'close',
}

const ranges = `select customer_key as k, code, grade, name, strftime(valid_from, '%m-%d') as "from",
  strftime(valid_to, '%m-%d') as "to", is_current, is_deleted from dw.dim_customer where customer_key > 0 order by code, valid_from`

function put(code: string, grade: string | null, day: number | null, name = 'n'): ExportedRow {
  return { key: [code], values: [grade, name, day === null ? null : dayText(day)] }
}

const gone = (code: string): ExportedRow => ({ key: [code], values: null })

describe('a dimension with history', () => {
  let star: Star
  let run: number
  beforeEach(async () => {
    star = await openStar([customer])
    run = 0
  })
  afterEach(() => star.engine.close())

  async function load(
    day: number,
    rows: readonly ExportedRow[],
    definition: HistoryDimensionDef = customer,
    exportDef: ExportDef = exported,
  ): Promise<DimensionChanges> {
    run += 1
    return star.publish({ run, day }, async ctx => {
      const changes = await changeExport(ctx, exportDef, rows)
      return loadDimension(ctx, { definition, exportDef, changes })
    })
  }

  async function versions(code: string): Promise<readonly string[]> {
    const rows = await star.query(ranges)
    return rows
      .filter(row => row['code'] === code)
      .map(row => {
        const marks = `${row['is_current'] === true ? ' current' : ''}${row['is_deleted'] === true ? ' deleted' : ''}`
        return `${row['k']} ${row['grade']} [${row['from']}, ${row['to']})${marks}`
      })
  }

  it('opens the first version from ever and has an unknown member', async () => {
    const changes = await load(9, [put('a', 'A', 3), put('b', 'B', 5)])
    expect(changes).toMatchObject({ inserted: 2, updated: 0, deleted: 0, relabelled: false })
    expect(await versions('a')).toEqual(['1 A [-infinity, infinity) current'])
    expect(await versions('b')).toEqual(['2 B [-infinity, infinity) current'])
    expect(
      await star.query('select customer_key, code, grade, is_current from dw.dim_customer where code is null'),
    ).toEqual([{ customer_key: 0n, code: null, grade: null, is_current: true }])
  })

  it('a type 2 change opens a version at its own time', async () => {
    await load(9, [put('a', 'A', 3)])
    await load(20, [put('a', 'B', 10)])
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-11)', '2 B [01-11, infinity) current'])
    expect(await star.query('select * from naru.restatement')).toEqual([])
  })

  it('without a time column the run says when', async () => {
    const definition = { ...customer, validFrom: null }
    await load(9, [put('a', 'A', 3)], definition)
    await load(20, [put('a', 'B', 3)], definition)
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-21)', '2 B [01-21, infinity) current'])
  })

  it('a clock that went back does not make a change late', async () => {
    const definition = { ...customer, validFrom: null }
    await load(9, [put('a', 'A', 3)], definition)
    await load(20, [put('a', 'B', 3)], definition)
    await load(15, [put('a', 'C', 3)], definition)
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-21)', '2 C [01-21, infinity) current'])
  })

  it('M65: a late change goes into the middle of the history and is recorded', async () => {
    await load(9, [put('a', 'A', 3)])
    await load(20, [put('a', 'B', 10)])
    const changes = await load(21, [put('a', 'C', 7)])
    expect(await versions('a')).toEqual([
      '1 A [-infinity, 01-08)',
      '3 C [01-08, 01-11)',
      '2 B [01-11, infinity) current',
    ])
    expect(changes.moved).not.toBeNull()
    const [moved] = await star.query('select run, "table", "key", what, "before", "after" from naru.restatement')
    expect(moved).toMatchObject({ run: 3n, table: 'dw.dim_customer', key: 'a', what: 'moved' })
    expect(JSON.parse(String(moved?.['before'])).valid_to).toBe('2001-01-11 00:00:00')
    expect(JSON.parse(String(moved?.['after'])).valid_to).toBe('2001-01-08 00:00:00')
  })

  it('a change that is older than everything known becomes the first version', async () => {
    await load(9, [put('a', 'A', 5)])
    await load(10, [put('a', 'B', 2)])
    expect(await versions('a')).toEqual(['2 B [-infinity, 01-06)', '1 A [01-06, infinity) current'])
  })

  it('of two changes with the same time the later one replaces, in place', async () => {
    await load(9, [put('a', 'A', 3)])
    await load(20, [put('a', 'B', 10)])
    const changes = await load(21, [put('a', 'C', 10)])
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-11)', '2 C [01-11, infinity) current'])
    expect(changes).toMatchObject({ inserted: 0, updated: 1, relabelled: true, moved: null })
    expect(await star.query('select what from naru.restatement')).toEqual([{ what: 'replaced' }])
  })

  it('a type 1 change overwrites every version, but a late one does not', async () => {
    await load(9, [put('a', 'A', 3, 'old')])
    await load(20, [put('a', 'B', 10, 'old')])
    await load(21, [put('a', 'B', 11, 'new')])
    await load(22, [put('a', 'C', 5, 'late')])
    expect(await star.query('select distinct name from dw.dim_customer where customer_key > 0')).toEqual([
      { name: 'new' },
    ])
    expect(await star.query("select surrogate from naru.restatement where what = 'overwritten' order by 1")).toEqual([
      { surrogate: 1n },
      { surrogate: 2n },
    ])
  })

  it('M69: a delete closes, a key that comes back opens a new range', async () => {
    await load(9, [put('a', 'A', 3), put('z', 'Z', 1)])
    await load(12, [gone('a')])
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-13) deleted'])
    await load(14, [gone('a')])
    await load(16, [put('a', 'A', 3)])
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-13) deleted', '3 A [01-17, infinity) current'])
  })

  it('the row of a key that came back is not a late change when it is seen again', async () => {
    await load(9, [put('a', 'A', 3), put('z', 'Z', 1)])
    await load(12, [gone('a')])
    await load(16, [put('a', 'B', 3)])
    await load(17, [put('a', 'B', 3, 'renamed')])
    await load(18, [put('a', 'C', 5)])
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-13) deleted', '3 C [01-17, infinity) current'])
  })

  it('a deleted key keeps its place when the policy is to flag or to keep', async () => {
    const flag: HistoryDimensionDef = { ...customer, onDelete: 'flag' }
    await load(9, [put('a', 'A', 3), put('z', 'Z', 1)], flag)
    await load(12, [gone('a')], flag)
    expect(await versions('a')).toEqual(['1 A [-infinity, infinity) current deleted'])
    await load(13, [put('a', 'B', 11)], flag)
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-12)', '3 B [01-12, infinity) current'])
    await load(14, [gone('a')], { ...customer, onDelete: 'keep' })
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-12)', '3 B [01-12, infinity) current'])
  })

  it('a delete takes out a version that was still to begin, and its number is not given again', async () => {
    await load(9, [put('a', 'A', 3), put('z', 'Z', 1)])
    await load(10, [put('a', 'B', 50)])
    const changes = await load(12, [gone('a')])
    expect(changes).toMatchObject({ updated: 1, deleted: 1 })
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-13) deleted'])
    await load(13, [put('a', 'C', 13)])
    expect(await versions('a')).toEqual(['1 A [-infinity, 01-13) deleted', '4 C [01-14, infinity) current'])
    expect(await star.query('select surrogate, "after" from naru.restatement where what = \'removed\'')).toEqual([
      { surrogate: 3n, after: null },
    ])
  })

  it('M70: an export found empty closes nothing', async () => {
    await load(9, [put('a', 'A', 3), put('b', 'B', 3)])
    const error = await load(10, [gone('a'), gone('b')]).catch((thrown: unknown) => thrown)
    expect(isNaruError(error, 'DIMENSION_EMPTIED')).toBe(true)
    expect(String(error)).toContain('has 2 members')
    expect(await versions('a')).toEqual(['1 A [-infinity, infinity) current'])
  })

  it('a load that brings nothing new changes nothing', async () => {
    await load(9, [put('a', 'A', 3), put('b', 'B', 3)])
    const again = await load(10, [put('a', 'A', 3)])
    expect(again).toMatchObject({ inserted: 0, updated: 0, deleted: 0, moved: null, relabelled: false })
    const whole = await star.publish({ run: 9, day: 11 }, ctx =>
      loadDimension(ctx, {
        definition: customer,
        exportDef: exported,
        changes: { table: { kind: 'ident', path: [] }, scope: 'all', keys: null, inserted: 2, updated: 0, deleted: 0 },
      }),
    )
    expect(whole).toMatchObject({ inserted: 0, updated: 0, deleted: 0, moved: null, relabelled: false })
  })

  it('M72: a new column widens the history; versions before have no value', async () => {
    await load(9, [put('a', 'A', 3), put('b', 'B', 3)])
    await load(10, [put('a', 'B', 10)])
    await star.query('alter table export.customer_x add column city varchar')
    await star.query("update export.customer_x set city = 'Pohang'")
    const columns = [...exported.columns, column('city')]
    const widened = { ...customer, columns, type2: ['grade', 'city'] }
    await load(12, [], widened, { ...exported, columns })
    expect(
      await star.query('select code, grade, city from dw.dim_customer where customer_key > 0 order by 1, 2'),
    ).toEqual([
      { code: 'a', grade: 'A', city: null },
      { code: 'a', grade: 'B', city: 'Pohang' },
      { code: 'b', grade: 'B', city: 'Pohang' },
    ])
  })

  it('a column that changed its type is refused, a column name that the warehouse makes too', async () => {
    await load(9, [put('a', 'A', 3)])
    const columns = exported.columns.map(c => (c.name === 'name' ? column('name', { kind: 'date' }) : c))
    const retyped = load(10, [], { ...customer, columns }, { ...exported, columns })
    await expect(retyped).rejects.toMatchObject({ code: 'WAREHOUSE_TYPE_CHANGED' })
    const taken = [...exported.columns, column('valid_from')]
    const clash = load(10, [], { ...customer, columns: taken }, { ...exported, columns: taken })
    await expect(clash).rejects.toMatchObject({ code: 'WAREHOUSE_COLUMN_TAKEN' })
  })

  it('zoned times are compared in UTC', async () => {
    const columns = exported.columns.map(c =>
      c.name === 'since' ? column('since', { kind: 'timestamp', zoned: true }) : c,
    )
    const zoned = { ...exported, columns }
    await load(1, [{ key: ['a'], values: ['A', 'n', '2001-01-01 00:00:00+00'] }], { ...customer, columns }, zoned)
    await load(2, [{ key: ['a'], values: ['B', 'n', '2001-01-02 01:00:00+09'] }], { ...customer, columns }, zoned)
    const [row] = await star.query("select cast(valid_from as varchar) as f from dw.dim_customer where grade = 'B'")
    expect(row?.['f']).toBe('2001-01-01 16:00:00')
  })

  // M64: the check must find a fault, or it proves nothing.
  it.each([
    ['two ranges overlap', "update dw.dim_customer set valid_to = timestamp '2001-01-12' where customer_key = 1"],
    [
      'there is a gap between two ranges',
      "update dw.dim_customer set valid_to = timestamp '2001-01-10' where customer_key = 1",
    ],
    ['not exactly one version is current', 'update dw.dim_customer set is_current = true where customer_key = 1'],
    ['a range is empty or inverted', 'update dw.dim_customer set valid_to = valid_from where customer_key = 2'],
    ['a surrogate key stands twice', 'update dw.dim_customer set customer_key = 1 where customer_key = 2'],
    ['the first range does not begin at -infinity', 'delete from dw.dim_customer where customer_key = 1'],
    [
      'the last range ends without a delete',
      "update dw.dim_customer set valid_to = timestamp '2001-02-01' where customer_key = 2",
    ],
  ])('M64: a wrong history stops the publish: %s', async (problem, fault) => {
    await load(9, [put('a', 'A', 3)])
    await load(20, [put('a', 'B', 10)])
    const check = star.publish({ run: 3, day: 21 }, async ctx => {
      await ctx.tx.execute(rawSql(fault))
      await ctx.tx.execute(rawSql("create or replace temp table temp.dim_customer_touched as select 'a' as code"))
      await assertRanges(ctx, layOutDimension(ctx, customer, exported))
    })
    await expect(check).rejects.toMatchObject({ code: 'DIMENSION_RANGES', message: expect.stringContaining(problem) })
  })
})
