import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ident, sql } from '../../core/sql.ts'
import type { RuleDef } from '../../config/model.ts'
import { col, openBench, rule, text, type Bench, type Cellish } from './cleansing.test.support.ts'

const trimmed = { column: 'name', expr: { kind: 'call', fn: 'trim', args: [col('name', text)], type: text } } as const

const name = fc.option(fc.constantFrom('a', ' a', 'b', 'b ', 'c', ''))
const size = fc.option(fc.integer({ min: -3, max: 12 }))
const rows = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 15 }), name, size), {
  selector: row => row[0],
  maxLength: 14,
})

const anyRule: fc.Arbitrary<RuleDef> = fc
  .tuple(
    fc.constantFrom<readonly [string, RuleDef['check']]>(
      ['name', { kind: 'required' }],
      ['name', { kind: 'oneOf', values: ['a', 'b'] }],
      ['name', { kind: 'unique' }],
      ['name', { kind: 'pattern', re2: '^[ab]' }],
      ['size', { kind: 'range', min: 0, max: 9 }],
      ['size', { kind: 'unique' }],
      ['size', { kind: 'required' }],
    ),
    fc.constantFrom('warn', 'quarantine'),
  )
  .map(([[column, check], severity]) =>
    rule(`${column}.${check.kind}.${severity}`, column, check, { severity: severity as RuleDef['severity'] }),
  )

const rules = fc.uniqueArray(anyRule, { selector: one => one.id, maxLength: 4 })
const deltas = fc.array(rows, { minLength: 1, maxLength: 3 })

/** Stages each delta after the other; a key with `size` 12 is deleted where it is there. */
async function play(
  bench: Bench,
  all: readonly (readonly (readonly Cellish[])[])[],
  some: readonly RuleDef[],
): Promise<void> {
  const present = new Set<Cellish>()
  for (const [i, delta] of all.entries()) {
    const gone = i === 0 ? [] : delta.filter(row => row[2] === 12 && present.has(row[0] as Cellish))
    const kept = delta.filter(row => !gone.includes(row))
    for (const row of gone) present.delete(row[0] as Cellish)
    for (const row of kept) present.add(row[0] as Cellish)
    await bench.stage(
      kept,
      gone.map(row => [row[0] as Cellish]),
    )
    await bench.run()
    await everyRowIsSomewhere(bench)
    for (const one of some)
      if (one.check.kind === 'unique' && one.severity === 'quarantine') await allDiffer(bench, one)
  }
}

/** No two versions in use have the same values; one that is held may stand beside the row that took its value. */
async function allDiffer(bench: Bench, unique: RuleDef): Promise<void> {
  const column = ident(unique.columns[0] as string)
  const twice = await bench.rows(sql`
    select ${column} from cleansed.item_shop where not _held and ${column} is not null
    group by ${column} having count(*) > 1`)
  expect(twice).toEqual([])
}

/** In = out + quarantined: every staged row is in use in its newest version, or open in quarantine; nothing else is. */
async function everyRowIsSomewhere(bench: Bench): Promise<void> {
  const [count] = await bench.rows(sql`
    select (select count(*) from staging.shop_item) as staged,
      (select count(*) from cleansed.item_shop where not _held) as written,
      (select count(*) from naru.quarantine where state = 'open') as open,
      (select count(*) from naru.quarantine where state = 'open' and held) as open_held,
      (select count(*) from cleansed.item_shop where _held) as held,
      (select count(*) from cleansed.item_shop c where not exists (select 1 from staging.shop_item s where s.id = c.id)) as ghosts,
      (select count(*) from naru.correction k where not exists (
        select 1 from cleansed.item_shop c where cast(c.id as varchar) = k.key and c.name is not distinct from k."after")) as stray`)
  expect(count?.['staged']).toBe((count?.['written'] as bigint) + (count?.['open'] as bigint))
  expect(count?.['held']).toBe(count?.['open_held'])
  expect([count?.['ghosts'], count?.['stray']]).toEqual([0n, 0n])
}

async function tables(bench: Bench): Promise<unknown> {
  return {
    cleansed: await bench.cleansed(),
    quarantine: await bench.rows(sql`select * from naru.quarantine order by all`),
    corrections: await bench.rows(sql`select * from naru.correction order by all`),
    results: await bench.rows(sql`select * from naru.rule_result order by all`),
  }
}

test('whatever the rows and the rules: rows in = rows out + rows in quarantine, and the same again on a fresh engine', async () => {
  await fc.assert(
    fc.asyncProperty(deltas, rules, async (all, some) => {
      const played: unknown[] = []
      for (let time = 0; time < 2; time++) {
        const bench = await openBench({ rules: some, cleanse: [trimmed] })
        try {
          await play(bench, all, some)
          played.push(await tables(bench))
        } finally {
          await bench.close()
        }
      }
      expect(played[1]).toEqual(played[0])
    }),
    { numRuns: 25 },
  )
}, 180_000)
