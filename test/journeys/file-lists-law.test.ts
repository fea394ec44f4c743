import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ChangeDef, SourceTableDef } from '../../src/config/model.ts'
import { joinSql, sql } from '../../src/core/sql.ts'
import { keepLastLists } from '../../src/etl/interface/file-lists.ts'
import { applyLoad } from '../../src/etl/staging/index.ts'
import { controlTables } from '../../src/run/control-tables.ts'
import { createLanding } from '../../src/run/landing.ts'
import { stagingNames } from '../../src/run/tables.ts'
import type { Engine, Transaction } from '../../src/services/engine/contract.ts'
import { never, scratch, stageContext } from '../../src/testing/engine.ts'
import { stageEngines } from '../../src/testing/stage-engines.ts'

const change = (scope: 'full' | 'delta'): Extract<ChangeDef, { technique: 'files' }> => ({
  technique: 'files',
  scope,
  format: {
    kind: 'ndjson',
    list: { list: ['lines'], parent: { o_id: ['id'] }, position: null, key: ['o_id', 'sku'], at: {} },
  },
  encoding: 'utf-8',
  checksum: 'none',
})

const int = { kind: 'int', bits: 32 } as const
const table = (scope: 'full' | 'delta'): SourceTableDef => ({
  source: 'shop',
  name: 'o_lines',
  remote: '*.ndjson',
  columns: ['o_id', 'sku', 'qty'].map(name => ({ name, type: int, nullable: false, personal: false })),
  key: ['o_id', 'sku'],
  change: change(scope),
})

/** What a file has of one object: the elements that could be read, and whether those are all. */
interface Sent {
  readonly id: number
  readonly items: Readonly<Record<string, number>>
  readonly isWhole: boolean
}
type Files = readonly (readonly Sent[])[]

const sent = fc.record({
  id: fc.integer({ min: 1, max: 3 }),
  items: fc.dictionary(fc.constantFrom('1', '2', '3'), fc.integer({ min: 0, max: 2 }), { noNullPrototype: true }),
  isWhole: fc.boolean(),
})
const loads = fc.array(fc.array(fc.array(sent, { maxLength: 4 }), { minLength: 1, maxLength: 2 }), { maxLength: 3 })

/** Runs the files of one load through the interface and staging; gives how many elements were set aside. */
async function load(tx: Transaction, number: bigint, files: Files, scope: 'full' | 'delta'): Promise<number> {
  const it = table(scope)
  await createLanding(tx, it, { sweep: false })
  const rows = files.flatMap((file, unit) =>
    file.flatMap(({ id, items, isWhole }, line) => {
      const elements = Object.entries(items).map(
        ([sku, qty]) => sql`(${id}, ${Number(sku)}, ${qty}, ${number}, ${unit}, ${line})`,
      )
      return isWhole ? [...elements, sql`(${id}, null, null, ${number}, ${unit}, ${line})`] : elements
    }),
  )
  if (rows.length > 0) await tx.execute(sql`insert into ${stagingNames(it).landing} values ${joinSql(rows)}`)
  await keepLastLists(tx, it, change(scope), number)
  const isDelta = scope === 'delta'
  await applyLoad(stageContext(tx), { load: number, table: it, scope: isDelta ? 'delta' : 'all', swept: isDelta })
  const [row] = await tx.rows(sql`select count(*) as n from naru.reject where load = ${number}`)
  return Number(row?.['n'])
}

type Image = ReadonlyMap<number, Readonly<Record<string, number>>>

/** The same by hand: the last list of each object counts, and takes away only when it came whole. */
function expected(
  before: Image,
  files: Files,
  scope: 'full' | 'delta',
): { readonly image: Image; readonly rejects: number } {
  const image = new Map(scope === 'full' ? [] : before)
  const there = files.flat().filter(({ items, isWhole }) => isWhole || Object.keys(items).length > 0)
  let rejects = 0
  for (const [i, { id, items, isWhole }] of there.entries()) {
    const isLast = !there.some((other, n) => n > i && other.id === id)
    if (isLast) image.set(id, isWhole ? items : { ...image.get(id), ...items })
    else rejects += Object.keys(items).length
  }
  return { image, rejects }
}

const listed = (image: Image): readonly string[] =>
  [...image].flatMap(([id, items]) => Object.entries(items).map(([sku, qty]) => `${id} ${sku} ${qty}`)).sort()

describe.each(stageEngines)('$kind', ({ open }) => {
  let engine: Engine
  beforeAll(async () => {
    engine = await open()
    await engine.transaction(never, async tx => {
      for (const statement of controlTables) await tx.execute(statement)
    })
  }, 180_000)
  afterAll(() => engine.close())

  test.each(['full', 'delta'] as const)(
    'with scope %s the image has the last list of each object, and every element is staged or set aside',
    scope =>
      fc.assert(
        fc.asyncProperty(loads, all =>
          scratch(engine, async tx => {
            let image: Image = new Map()
            for (const [i, files] of all.entries()) {
              const want = expected(image, files, scope)
              expect(await load(tx, BigInt(i + 1), files, scope)).toBe(want.rejects)
              const rows = await tx.rows(sql`select o_id, sku, qty from ${stagingNames(table(scope)).image}`)
              expect(rows.map(row => `${row['o_id']} ${row['sku']} ${row['qty']}`).sort()).toEqual(listed(want.image))
              image = want.image
            }
          }),
        ),
        { numRuns: 25, endOnFailure: true },
      ),
    180_000,
  )
})
