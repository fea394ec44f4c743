import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EntityDef, MatchDef, PreferDef } from '../../config/model.ts'
import { ident, sql } from '../../core/sql.ts'
import type { StageContext } from '../../run/context.ts'
import type { Engine, Row, Transaction } from '../../services/engine/contract.ts'
import {
  contributionOf,
  createTables,
  entityOf,
  putCleansed,
  tableRows,
  textColumn,
  type CleansedRow,
} from '../../testing/cleansed.ts'
import { scratch, stageContext } from '../../testing/engine.ts'
import { stageEngines } from '../../testing/stage-engines.ts'
import { controlTables, integrate, type Integrated } from './index.ts'

type Rows = Readonly<Record<string, readonly CleansedRow[]>>

/** One run of integration after the contributors were given these rows; those that are not named stay as they are. */
async function run(tx: Transaction, entity: EntityDef, rows: Rows, options: Options = {}): Promise<Integrated> {
  const contributions = []
  for (const contribution of entity.contributions) {
    const given = rows[contribution.as]
    const changes = given === undefined ? unchanged : await putCleansed(tx, entity, contribution, given)
    contributions.push({ contribution, changes })
  }
  const bare = stageContext(tx, { run: { id: options.run ?? 1n, asOfMicros: 0n }, ...options.context })
  const ctx = { ...bare, project: { ...bare.project, entities: [entity] } }
  return integrate(ctx, { entity, contributions, rebuild: options.rebuild ?? false })
}

const unchanged = {
  table: ident('cleansed', 'any'),
  scope: 'delta' as const,
  keys: null,
  inserted: 0,
  updated: 0,
  deleted: 0,
}

interface Options {
  readonly run?: bigint
  readonly rebuild?: boolean
  readonly context?: Partial<StageContext>
}

let engine: Engine

/** Runs `body` in an empty engine. */
async function inEngine<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
  return scratch(engine, async tx => {
    await createTables(tx, controlTables)
    return body(tx)
  })
}

const columns = ['id', 'name', 'city', 'seen']
const byName: MatchDef = {
  compare: [{ column: 'name', against: ['name', 'city'] }],
  support: ['city'],
  threshold: 0.6,
}

/** Two contributors that give the key, and one that is found by name. */
function shop(conflicts: Readonly<Record<string, PreferDef>> = {}): EntityDef {
  return entityOf('shop', {
    key: ['id'],
    columns,
    contributions: [
      contributionOf('erp', columns),
      contributionOf('web', columns),
      contributionOf('news', ['name', 'city'], byName),
    ],
    conflicts,
  })
}

async function golden(tx: Transaction): Promise<readonly Row[]> {
  return tx.rows(sql`select * from ods.shop order by id`)
}

async function conflicts(tx: Transaction): Promise<readonly Row[]> {
  return tx.rows(sql`select key, "column", winner, rule, "values" from naru.conflict order by key, "column"`)
}

async function crosswalk(tx: Transaction, contributor: string): Promise<readonly Row[]> {
  return tx.rows(sql`
    select source_key, golden_key, rule from naru.crosswalk where contributor = ${contributor} order by source_key`)
}

const row = (id: string, name: string | null, city: string | null = null, seen: string | null = null): CleansedRow => ({
  id,
  name,
  city,
  seen,
})

describe.each(stageEngines)('$kind', ({ kind, open }) => {
  beforeAll(async () => {
    engine = await open()
  }, 180_000)
  afterAll(() => engine.close())

  describe('one contributor', () => {
    const entity = entityOf('shop', { key: ['id'], columns, contributions: [contributionOf('erp', columns)] })

    test('its cleansed rows are the golden records, through a view, and its change set goes through', () =>
      inEngine(async tx => {
        const first = await run(tx, entity, { erp: [row('1', 'Elm')] })
        expect(first).toMatchObject({ scope: 'all', inserted: 1, table: ident('ods', 'shop'), crosswalkChanged: false })
        const next = await run(tx, entity, { erp: [row('1', 'Oak'), row('2', 'Elm')] })
        expect(next).toMatchObject({ scope: 'delta', inserted: 1, updated: 1, table: ident('ods', 'shop') })
        expect((await golden(tx)).map(it => it['name'])).toEqual(['Oak', 'Elm'])
        expect(await tx.rows(sql`select * from naru.crosswalk`)).toEqual([])
      }))

    test('with a second contributor the view becomes a table, and without it a view again', () =>
      inEngine(async tx => {
        const both = entityOf('shop', {
          key: ['id'],
          columns,
          contributions: [contributionOf('erp', columns), contributionOf('web', columns)],
        })
        await run(tx, entity, { erp: [row('1', 'Elm')] })
        expect(await run(tx, both, { web: [row('2', 'Oak')] }, { rebuild: true })).toMatchObject({
          scope: 'all',
          inserted: 2,
        })
        expect(await run(tx, entity, {}, { rebuild: true })).toMatchObject({ scope: 'all', inserted: 1 })
        expect(await tx.rows(sql`select * from naru.crosswalk`)).toEqual([])
      }))
  })

  describe('several contributors', () => {
    test('rows with the same key are one record, and a key that nobody gives any more is gone', () =>
      inEngine(async tx => {
        await run(tx, shop(), { erp: [row('1', 'Elm'), row('2', 'Oak')], web: [row('2', null, 'Bonn')], news: [] })
        expect(await golden(tx)).toMatchObject([
          { id: '1', name: 'Elm', city: null },
          { id: '2', name: 'Oak', city: 'Bonn' },
        ])
        const changes = await run(
          tx,
          shop(),
          { erp: [row('2', 'Oak')], web: [row('2', null, 'Bonn'), row('3', 'Fir')] },
          { run: 2n },
        )
        expect(changes).toMatchObject({ scope: 'delta', inserted: 1, updated: 0, deleted: 1 })
        expect(await golden(tx)).toMatchObject([
          { id: '2', _run: 1n },
          { id: '3', _run: 2n },
        ])
        expect(await crosswalk(tx, 'web')).toEqual([
          { source_key: '2', golden_key: '2', rule: 'key' },
          { source_key: '3', golden_key: '3', rule: 'key' },
        ])
      }))

    test('a run in which nothing changed changes nothing', () =>
      inEngine(async tx => {
        const rows = { erp: [row('1', 'Elm'), row('2', 'Oak')], web: [row('2', 'Oaks')], news: [row('', 'ELM')] }
        await run(tx, shop(), rows)
        const before = [await golden(tx), await tableRows(tx, ident('naru', 'crosswalk')), await conflicts(tx)]
        expect(await run(tx, shop(), rows, { run: 2n })).toMatchObject({ keys: null, crosswalkChanged: false })
        expect(await run(tx, shop(), rows, { run: 3n, rebuild: true })).toMatchObject({
          keys: null,
          crosswalkChanged: false,
        })
        expect([await golden(tx), await tableRows(tx, ident('naru', 'crosswalk')), await conflicts(tx)]).toEqual(before)
      }))

    test('a record is flagged as held while one of its rows is', () =>
      inEngine(async tx => {
        await run(tx, shop(), { erp: [row('1', 'Elm')], web: [row('1', 'Elm')], news: [] })
        await run(tx, shop(), { web: [{ ...row('1', 'Elm'), _held: true }] })
        expect(await golden(tx)).toMatchObject([{ id: '1', _held: true }])
      }))

    test('matches alone make no record, and an entity of matches only is refused', () =>
      inEngine(async tx => {
        await run(tx, shop(), { erp: [], web: [], news: [row('', 'Elm')] })
        expect(await golden(tx)).toEqual([])
        expect(await crosswalk(tx, 'news')).toEqual([{ source_key: 'Elm/\\N', golden_key: null, rule: 'unlike' }])
        const orphan = { ...shop(), contributions: shop().contributions.slice(2) }
        await expect(run(tx, orphan, { news: [] })).rejects.toMatchObject({ code: 'ENTITY_WITHOUT_KEYS' })
      }))
  })

  describe('which value survives', () => {
    const both = { erp: [row('1', 'Elm', 'Ulm', '2001')], web: [row('1', 'Elmwood', 'Bonn', '2002')], news: [] }
    const onlyWeb = { erp: [row('1', null, null, '2003')], web: [row('1', 'Elmwood', 'Bonn', null)], news: [] }
    const first: PreferDef = { kind: 'first', order: ['web', 'erp'] }
    const latest: PreferDef = { kind: 'latest', by: 'seen' }

    test.each<[string, PreferDef | undefined, Rows, string | null, string | null, string]>([
      [
        'the first in order of contribution when nothing is said',
        undefined,
        both,
        'Elm',
        'erp',
        'first of erp, web, news',
      ],
      ['the first of the named', first, both, 'Elmwood', 'web', 'first of web, erp, news'],
      ['the latest by its time', latest, both, 'Elmwood', 'web', 'latest seen'],
      ['the longest', { kind: 'longest' }, both, 'Elmwood', 'web', 'longest'],
      ['none where all must agree', { kind: 'agree', otherwise: 'null' }, both, null, null, 'agree, otherwise NULL'],
    ])('%s', (_, prefer, rows, name, winner, rule) =>
      inEngine(async tx => {
        await run(tx, shop(prefer === undefined ? {} : { name: prefer }), rows)
        expect(await golden(tx)).toMatchObject([{ name }])
        expect((await conflicts(tx)).find(it => it['column'] === 'name')).toMatchObject({ key: '1', winner, rule })
      }),
    )

    test.each<[string, PreferDef]>([
      ['first', { kind: 'first', order: ['erp', 'web'] }],
      ['latest', latest],
      ['longest', { kind: 'longest' }],
      ['agree', { kind: 'agree', otherwise: 'null' }],
    ])('a missing value does not compete: %s', (_, prefer) =>
      inEngine(async tx => {
        await run(tx, shop({ '*': prefer }), onlyWeb)
        expect(await golden(tx)).toMatchObject([{ name: 'Elmwood', city: 'Bonn' }])
        expect(await conflicts(tx)).toEqual([])
      }),
    )

    test('a column without a rule of its own follows the rule for all', () =>
      inEngine(async tx => {
        await run(tx, shop({ '*': first, city: { kind: 'first', order: ['erp'] } }), both)
        expect(await golden(tx)).toMatchObject([{ name: 'Elmwood', city: 'Ulm', seen: '2002' }])
      }))

    test('every cell in dispute tells who said what, and it is over when they agree', () =>
      inEngine(async tx => {
        await run(tx, shop(), both)
        expect((await conflicts(tx)).find(it => it['column'] === 'city')?.['values']).toBe(
          '[{"contributor":"erp","value":"Ulm"},{"contributor":"web","value":"Bonn"}]',
        )
        await run(tx, shop(), { web: [row('1', 'Elm', 'Ulm', '2001')] })
        expect(await conflicts(tx)).toEqual([])
      }))

    test('where they must agree or be held, the record stays as it was until they agree', () =>
      inEngine(async tx => {
        const entity = shop({ name: { kind: 'agree', otherwise: 'quarantine' } })
        await run(tx, entity, { erp: [row('1', 'Elm', 'Ulm')], web: [row('1', 'Elm', 'Ulm')], news: [] })
        const held = {
          erp: [row('1', 'Oak', 'Kiel'), row('2', 'Fir')],
          web: [row('1', 'Elm', 'Kiel'), row('2', 'Yew')],
        }
        expect(await run(tx, entity, held)).toMatchObject({ inserted: 0, updated: 1, deleted: 0 })
        expect(await golden(tx)).toMatchObject([{ id: '1', name: 'Elm', city: 'Ulm', _held: true }])
        expect(await conflicts(tx)).toMatchObject([
          { key: '1', column: 'name', winner: null, rule: 'agree, otherwise held' },
          { key: '2', column: 'name', winner: null, rule: 'agree, otherwise held' },
        ])
        await run(tx, entity, {}, { rebuild: true })
        expect(await golden(tx)).toMatchObject([{ id: '1', name: 'Elm', city: 'Ulm', _held: true }])
        await run(tx, entity, { web: [row('1', 'Oak', 'Kiel'), row('2', 'Fir')] })
        expect(await golden(tx)).toMatchObject([
          { id: '1', name: 'Oak', city: 'Kiel', _held: false },
          { id: '2', name: 'Fir', _held: false },
        ])
      }))

    test('personal values stand in no conflict', () =>
      inEngine(async tx => {
        const names = ['id', 'personal_phone', 'note']
        const entity = entityOf('person', {
          key: ['id'],
          columns: names,
          contributions: [contributionOf('erp', names), contributionOf('web', names)],
        })
        // The entity does not say that the note is personal; the source it is made from does.
        const sources = [
          {
            name: 'web',
            adapter: 'sqlite',
            options: {},
            tables: [
              {
                source: 'web',
                name: 't',
                remote: 't',
                columns: [textColumn('id'), { ...textColumn('note'), personal: true }],
                key: ['id'],
                change: { technique: 'full' as const },
              },
            ],
          },
        ]
        const project = { ...stageContext(tx).project, sources }
        const rows = {
          erp: [{ id: '1', personal_phone: 'CANARY-1', note: 'CANARY-2' }],
          web: [{ id: '1', personal_phone: 'CANARY-3', note: 'CANARY-4' }],
        }
        await run(tx, entity, rows, { context: { project } })
        const found = await conflicts(tx)
        expect(found).toHaveLength(2)
        expect(JSON.stringify(found)).not.toContain('CANARY')
        expect(found[0]?.['values']).toBe('[{"contributor":"erp","value":"***"},{"contributor":"web","value":"***"}]')
      }))
  })

  describe('found by likeness', () => {
    const erp = [row('1', 'Elm Street Bakery', null), row('2', 'Harbour Fish Market', null)]

    test('a match adds what the record lacks, and several spellings may mean one record', () =>
      inEngine(async tx => {
        const news = [
          row('', 'elm st bakery', 'Ulm'),
          row('', 'BAKERY ELM STREET', 'Bonn'),
          row('', 'Old Mill', 'Kiel'),
        ]
        await run(tx, shop(), { erp, web: [], news })
        expect(await crosswalk(tx, 'news')).toEqual([
          { source_key: 'BAKERY ELM STREET/Bonn', golden_key: '1', rule: 'like' },
          { source_key: 'Old Mill/Kiel', golden_key: null, rule: 'unlike' },
          { source_key: 'elm st bakery/Ulm', golden_key: '1', rule: 'like' },
        ])
        expect(await golden(tx)).toMatchObject([
          { id: '1', name: 'Elm Street Bakery', city: 'Bonn' },
          { id: '2', name: 'Harbour Fish Market', city: null },
        ])
      }))

    test('when the name of a record changes its matches are made again', () =>
      inEngine(async tx => {
        const news = [row('', 'elm street bakery', 'Ulm')]
        expect(await run(tx, shop(), { erp, web: [], news })).toMatchObject({ crosswalkChanged: true })
        const renamed = await run(tx, shop(), { erp: [row('1', 'Garden Tools'), erp[1] as CleansedRow] })
        expect(renamed).toMatchObject({ crosswalkChanged: true, updated: 1 })
        expect(await crosswalk(tx, 'news')).toMatchObject([{ golden_key: null, rule: 'unlike' }])
        expect(await golden(tx)).toMatchObject([{ name: 'Garden Tools', city: null }, { id: '2' }])
        const moved = await run(tx, shop(), { erp: [row('1', 'Garden Tools'), row('2', 'Elm Street Bakery')] })
        expect(moved).toMatchObject({ crosswalkChanged: true })
        expect(await golden(tx)).toMatchObject([{ city: null }, { id: '2', city: 'Ulm' }])
      }))

    test('a change in a column that is not compared matches nothing again', () =>
      inEngine(async tx => {
        await run(tx, shop(), { erp, web: [], news: [row('', 'elm street bakery', 'Ulm')] })
        await run(tx, shop(), { erp: erp.map(it => ({ ...it, seen: '2002' })) }, { run: 2n })
        expect(await tx.rows(sql`select distinct run from naru.match_basis`)).toEqual([{ run: 1n }])
        expect(await golden(tx)).toMatchObject([{ city: 'Ulm', seen: '2002' }, { seen: '2002' }])
      }))

    test('what a match added does not decide the next match', () =>
      inEngine(async tx => {
        const entity = shop({ '*': { kind: 'first', order: ['news'] } })
        await run(tx, entity, { erp, web: [], news: [row('', 'Elm Bakery', 'Ulm')] })
        expect(await golden(tx)).toMatchObject([{ name: 'Elm Bakery' }, {}])
        expect(await run(tx, entity, { news: [row('', 'Elm Bakery', 'Ulm'), row('', 'Mill', 'Ulm')] })).toMatchObject({
          keys: null,
        })
      }))
  })

  describe('laws', () => {
    const words = ['elm', 'oak', 'street', 'bakery', 'harbour', 'market']
    const name = fc.subarray(words, { minLength: 1, maxLength: 3 }).map(chosen => chosen.join(' '))
    const text = (from: readonly string[]) => fc.option(fc.constantFrom(...from), { nil: null })
    const keyed = fc.uniqueArray(
      fc.record({
        id: fc.constantFrom('1', '2', '3', '4', '5'),
        name: fc.option(name, { nil: null }),
        city: text(['Ulm', 'Bonn']),
        seen: text(['2001', '2002']),
      }),
      { selector: it => it.id, maxLength: 5 },
    )
    const identities = fc.uniqueArray(fc.record({ name, city: text(['Ulm', 'Bonn']) }), {
      selector: it => `${it.name}/${it.city}`,
      maxLength: 4,
    })
    const given = fc.record({ erp: keyed, web: keyed, news: identities }, { requiredKeys: [] })
    const start = fc.record({ erp: keyed, web: keyed, news: identities })

    const rules: Readonly<Record<string, PreferDef>> = {
      name: { kind: 'longest' },
      city: { kind: 'latest', by: 'seen' },
      seen: { kind: 'agree', otherwise: 'null' },
    }

    test(
      'after any edits the tables are the ones that integrating everything at once makes',
      { timeout: 180_000 },
      async () => {
        await fc.assert(
          fc.asyncProperty(start, fc.array(given, { maxLength: 3 }), async (first, edits) => {
            const state = async (tx: Transaction): Promise<readonly unknown[]> => [
              await tableRows(tx, ident('ods', 'shop'), ['_run']),
              await tableRows(tx, ident('naru', 'crosswalk'), ['run']),
              await tableRows(tx, ident('naru', 'conflict'), ['run']),
            ]
            const step = await inEngine(async tx => {
              await run(tx, shop(rules), first as Rows)
              for (const edit of edits) await run(tx, shop(rules), edit as Rows)
              return state(tx)
            })
            const once = await inEngine(async tx => {
              await run(tx, shop(rules), Object.assign({}, first, ...edits) as Rows)
              return state(tx)
            })
            expect(step).toEqual(once)
          }),
          { numRuns: kind === 'duckdb' ? 8 : 3 },
        )
      },
    )
  })
})
