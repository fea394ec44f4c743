import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { joinSql, sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { controlTables } from '../../run/control-tables.ts'
import type { ChangeSet } from '../../run/context.ts'
import { createLanding } from '../../run/landing.ts'
import { stagingNames } from '../../run/tables.ts'
import type { ControlTotals } from '../../services/adapter/contract.ts'
import type { Engine, Transaction } from '../../services/engine/contract.ts'
import { never, scratch as scratchOn, stageContext } from '../../testing/engine.ts'
import { stageEngines } from '../../testing/stage-engines.ts'
import { acceptOrRefuse, applyLoad, ensureImage, refuseDifferences } from './index.ts'

const table: SourceTableDef = {
  source: 'shop',
  name: 'item',
  remote: 'item',
  columns: [
    { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
    { name: 'label', type: { kind: 'text' }, nullable: true, personal: false },
  ],
  key: ['id'],
  change: { technique: 'full' },
}
const names = stagingNames(table)

type Item = readonly [id: number, label: string | null]

let engine: Engine

const scratch = (body: (tx: Transaction) => Promise<void>): Promise<void> => scratchOn(engine, body)

async function land(tx: Transaction, load: bigint, items: readonly Item[], seen?: readonly number[]): Promise<void> {
  await createLanding(tx, table, { sweep: seen !== undefined })
  const rows = items.map(([id, label]) => sql`(${id}, ${label}, ${load}, 1, null)`)
  if (rows.length > 0) await tx.execute(sql`insert into ${names.landing} values ${joinSql(rows)}`)
  const keys = (seen ?? []).map(id => sql`(${id})`)
  if (keys.length > 0) await tx.execute(sql`insert into ${names.sweep} values ${joinSql(keys)}`)
}

async function load(
  tx: Transaction,
  number: bigint,
  items: readonly Item[],
  seen?: readonly number[],
): Promise<ChangeSet> {
  await land(tx, number, items, seen)
  const scope = number === 1n || seen === undefined ? 'all' : 'delta'
  return applyLoad(stageContext(tx), { load: number, table, scope, swept: seen !== undefined })
}

async function image(tx: Transaction): Promise<readonly Item[]> {
  const rows = await tx.rows(sql`select id, label from ${names.image} order by id`)
  return rows.map(row => [row['id'] as number, row['label'] as string | null])
}

describe.each(stageEngines)('$kind', ({ open }) => {
  beforeAll(async () => {
    engine = await open()
    await engine.transaction(never, async tx => {
      for (const statement of controlTables) await tx.execute(statement)
    })
  }, 180_000)
  afterAll(() => engine.close())

  describe('applying a load', () => {
    test('the first load becomes the image, and everything of it is new', () =>
      scratch(async tx => {
        const changes = await load(tx, 1n, [
          [1, 'a'],
          [2, null],
        ])
        expect(changes).toMatchObject({ scope: 'all', inserted: 2, keys: null })
        expect(await image(tx)).toEqual([
          [1, 'a'],
          [2, null],
        ])
      }))

    test('rows that were re-read unchanged go no further', () =>
      scratch(async tx => {
        await load(tx, 1n, [
          [1, 'a'],
          [2, null],
        ])
        const changes = await load(tx, 2n, [
          [1, 'a'],
          [2, null],
        ])
        expect(changes).toMatchObject({ scope: 'delta', keys: null, inserted: 0, updated: 0, deleted: 0 })
        expect((await tx.rows(sql`select distinct "_load" as l from ${names.image}`))[0]?.['l']).toBe(1n)
      }))

    test('a replaced version moves to the past with the load that ended it', () =>
      scratch(async tx => {
        await load(tx, 1n, [
          [1, 'a'],
          [2, 'b'],
          [3, 'c'],
        ])
        const changes = await load(tx, 2n, [
          [1, 'A'],
          [3, 'c'],
          [4, null],
        ])
        expect(changes).toMatchObject({ inserted: 1, updated: 1, deleted: 1 })
        expect(await image(tx)).toEqual([
          [1, 'A'],
          [3, 'c'],
          [4, null],
        ])
        const past = await tx.rows(sql`select id, label, "_load", "_until", "_op" from ${names.past} order by id`)
        expect(past).toEqual([
          { id: 1, label: 'a', _load: 1n, _until: 2n, _op: 'u' },
          { id: 2, label: 'b', _load: 1n, _until: 2n, _op: 'd' },
        ])
      }))

    test('a delta leaves what it does not name; a sweep finds what is gone', () =>
      scratch(async tx => {
        await load(tx, 1n, [
          [1, 'a'],
          [2, 'b'],
          [3, 'c'],
        ])
        const changes = await load(tx, 2n, [[3, 'C']], [1, 3])
        expect(changes).toMatchObject({ inserted: 0, updated: 1, deleted: 1 })
        expect(await image(tx)).toEqual([
          [1, 'a'],
          [3, 'C'],
        ])
      }))

    const reject = (load: bigint, key: string | null) => sql`
    insert into naru.reject values (${load}, 1, 'shop', 'item', 'VALUE_TOO_LARGE', '', ${key}, null, null, 0, '')`

    test('a rejected row is not taken as deleted, and others are', () =>
      scratch(async tx => {
        await load(tx, 1n, [
          [1, 'a'],
          [2, 'b'],
          [3, 'c'],
        ])
        await tx.execute(reject(2n, '{"id":"2"}'))
        expect(await load(tx, 2n, [[1, 'a']])).toMatchObject({ deleted: 1 })
        expect(await image(tx)).toEqual([
          [1, 'a'],
          [2, 'b'],
        ])
      }))

    test('with a rejected row that nobody can name, nothing is taken as deleted', () =>
      scratch(async tx => {
        await load(tx, 1n, [
          [1, 'a'],
          [2, 'b'],
        ])
        await tx.execute(reject(2n, null))
        expect(await load(tx, 2n, [[1, 'A']])).toMatchObject({ updated: 1, deleted: 0 })
        expect(await load(tx, 3n, [[1, 'A']])).toMatchObject({ deleted: 1 })
      }))

    test('a table that nothing was read of yet is there and empty', () =>
      scratch(async tx => {
        expect(await ensureImage(stageContext(tx), table)).toMatchObject({ scope: 'all', inserted: 0 })
        expect(await load(tx, 1n, [[1, 'a']])).toMatchObject({ scope: 'all', inserted: 1 })
      }))

    test('a table that nothing was read of yet has the columns of its first load, which may have no rows', () =>
      scratch(async tx => {
        const wider = { ...table, columns: [...table.columns, { ...table.columns[1], name: 'later' }] } as typeof table
        await ensureImage(stageContext(tx), table)
        await createLanding(tx, wider, { sweep: false })
        const empty = { load: 1n, table: wider, scope: 'all', swept: false } as const
        expect(await applyLoad(stageContext(tx), empty)).toMatchObject({ scope: 'all', inserted: 0 })
        for (const name of [names.image, names.past])
          expect((await tx.columns(name)).map(column => column.name)).toContain('later')
      }))

    test('after any loads the image is the last one, and image with past is the whole change log', () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.option(fc.constantFrom('a', 'b', ''))), {
              selector: item => item[0],
            }),
            { minLength: 1, maxLength: 4 },
          ),
          loads =>
            scratch(async tx => {
              let versions = 0
              for (const [i, items] of loads.entries()) {
                const changes = await load(tx, BigInt(i + 1), items)
                versions += changes.inserted + changes.updated
                expect(await image(tx)).toEqual([...items].sort((a, b) => a[0] - b[0]))
              }
              const [log] = await tx.rows(
                sql`select (select count(*) from ${names.image}) + (select count(*) from ${names.past}) as n`,
              )
              expect(Number(log?.['n'])).toBe(versions)
            }),
        ),
        { numRuns: 25 },
      ))
  })

  describe('control totals', () => {
    const agreed: ControlTotals = {
      rows: 2n,
      hash: null,
      columns: [
        { column: 'id', count: 2n, sum: '3', min: '1', max: '2' },
        { column: 'label', count: 1n, sum: '2', min: 'ab', max: 'ab' },
      ],
    }
    const source = (totals: ControlTotals) => ({
      totals,
      columns: table.columns,
      rows: totals.rows,
      keyRows: null,
      byUnit: null,
    })

    test('a load that agrees with the source is accepted, and every figure is kept', () =>
      scratch(async tx => {
        await land(tx, 1n, [
          [1, 'ab'],
          [2, null],
        ])
        const controls = await acceptOrRefuse({ tx }, table, 1n, source(agreed))
        expect(controls.every(control => control.equal === true)).toBe(true)
        expect(() => refuseDifferences(table, 1n, controls)).not.toThrow()
        expect(await tx.rows(sql`select count(*) as n from naru.control_total where equal`)).toEqual([{ n: 9n }])
      }))

    // Each of these is a fault that the control must see.
    test.each<[string, readonly Item[]]>([
      ['a lost row', [[1, 'ab']]],
      [
        'a row too many',
        [
          [1, 'ab'],
          [2, null],
          [3, null],
        ],
      ],
      [
        'a changed number',
        [
          [1, 'ab'],
          [3, null],
        ],
      ],
      [
        'a changed text',
        [
          [1, 'ac'],
          [2, null],
        ],
      ],
      [
        'empty text instead of NULL',
        [
          [1, 'ab'],
          [2, ''],
        ],
      ],
      [
        'a shortened text',
        [
          [1, 'a'],
          [2, null],
        ],
      ],
    ])('%s refuses the load', (_, items) =>
      scratch(async tx => {
        await land(tx, 1n, items)
        const controls = await acceptOrRefuse({ tx }, table, 1n, source(agreed))
        expect(() => refuseDifferences(table, 1n, controls)).toThrow(/load 1 of shop.item is refused/)
      }),
    )

    test('a rejected row is counted, and column figures are then not comparable, not wrong', () =>
      scratch(async tx => {
        await land(tx, 1n, [[1, 'ab']])
        await tx.execute(sql`
        insert into naru.reject values (1, 1, 'shop', 'item', 'VALUE_TOO_LARGE', '', null, null, null, 0, '')`)
        const controls = await acceptOrRefuse({ tx }, table, 1n, source(agreed))
        expect(controls.find(control => control.measure === 'rows')?.equal).toBe(true)
        expect(controls.some(control => control.equal === false)).toBe(false)
        expect(controls.some(control => control.equal === null)).toBe(true)
      }))
  })
})
