import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ContributionDef, EntityDef, MatchDef } from '../../config/model.ts'
import { sql } from '../../core/sql.ts'
import { contributionOf, createTables, entityOf, putCleansed, type CleansedRow } from '../../testing/cleansed.ts'
import { corruptAll, dice, sample } from '../../testing/corruptions.ts'
import { scratch, stageContext } from '../../testing/engine.ts'
import type { Engine } from '../../services/engine/contract.ts'
import { stageEngines } from '../../testing/stage-engines.ts'
import { controlTables, integrate } from './index.ts'

const data = (file: string): string =>
  readFileSync(new URL(`../../../node_modules/vega-datasets/data/${file}`, import.meta.url), 'utf8')

interface Airport {
  readonly [column: string]: string
  readonly iata: string
  readonly name: string
  readonly city: string
  readonly state: string
}

const airports = parseCsv(data('airports.csv')) as readonly Airport[]

function airport(match: MatchDef): { entity: EntityDef; golden: ContributionDef; found: ContributionDef } {
  const columns = ['iata', 'name', 'city', 'state']
  const golden = contributionOf('partner', columns)
  const found = contributionOf('safety', ['name', 'state'], match)
  return { entity: entityOf('airport', { key: ['iata'], columns, contributions: [golden, found] }), golden, found }
}

const byNameAndState: MatchDef = {
  compare: [{ column: 'name', against: ['name', 'city'] }],
  support: ['state'],
  threshold: 0.65,
}

let engine: Engine

/** The golden key that each row of `identities` was given, by its position. */
async function matchesOf(
  shape: { entity: EntityDef; golden: ContributionDef; found: ContributionDef },
  golden: readonly CleansedRow[],
  identities: readonly CleansedRow[],
): Promise<readonly (string | null)[]> {
  return scratch(engine, async tx => {
    await createTables(tx, controlTables)
    const contributions = [
      { contribution: shape.golden, changes: await putCleansed(tx, shape.entity, shape.golden, golden) },
      { contribution: shape.found, changes: await putCleansed(tx, shape.entity, shape.found, identities) },
    ]
    await integrate(stageContext(tx), { entity: shape.entity, contributions })
    const rows = await tx.rows(sql`select source_key, golden_key from naru.crosswalk where contributor = 'safety'`)
    const keys = new Map(rows.map(row => [row['source_key'], row['golden_key'] as string | null]))
    return identities.map(row => keys.get(keyOf(shape.found, row)) ?? null)
  })
}

function keyOf(contribution: ContributionDef, row: CleansedRow): string {
  const parts = contribution.map.map(({ column }) => String(row[column] ?? '\\N'))
  if (parts.length === 1) return parts[0] as string
  return parts.map(part => (part === '\\N' ? part : part.replaceAll('\\', '\\\\').replaceAll('/', '\\/'))).join('/')
}

function countOutcomes(found: readonly (string | null)[], truth: readonly (string | null)[]): Outcomes {
  const right = found.filter((key, i) => key !== null && key === truth[i]).length
  const unmatched = found.filter(key => key === null).length
  return { right, wrong: found.length - right - unmatched, unmatched }
}

interface Outcomes {
  readonly right: number
  readonly wrong: number
  readonly unmatched: number
}

describe.each(stageEngines)('$kind', ({ open }) => {
  beforeAll(async () => {
    engine = await open()
  }, 180_000)
  afterAll(() => engine.close())

  describe('real spellings', () => {
    test('49 of the 50 airports of the bird strikes are found, and the one without a partner stays unmatched', async () => {
      const path = new URL('../../../test/golden/strike-airports.json', import.meta.url)
      const strikes = JSON.parse(readFileSync(path, 'utf8')) as readonly Airport[]
      const found = await matchesOf(airport(byNameAndState), airports, strikes)
      expect(strikes.map((strike, i) => ({ ...strike, iata: found[i] }))).toEqual(strikes)
      expect(strikes).toHaveLength(50)
      expect(strikes.filter(strike => strike.iata === null).map(strike => strike.name)).toEqual([
        'BARKSDALE AIR FORCE BASE ARPT',
      ])
    })
  })

  // The matcher was made looking at seeds 1 to 5 over the airports at even places; what is accepted here are other
  // seeds over the airports at odd places.
  describe('generated corruptions', () => {
    const unseen = airports.filter((_, i) => i % 2 === 1)

    test.each([21, 22, 23])(
      'of 200 corrupted airport names at least 180 are found and at most 4 are wrong (seed %i)',
      async seed => {
        const corrupted = corruptAll(sample(unseen, 200, dice(seed)), it => it.name, { seed: seed + 100, times: 2 })
        const rows = corrupted.map(({ original, text }) => ({ name: text, state: original.state }))
        const outcomes = countOutcomes(
          await matchesOf(airport(byNameAndState), airports, rows),
          corrupted.map(({ original }) => original.iata),
        )
        expect(outcomes.right).toBeGreaterThanOrEqual(180)
        expect(outcomes.wrong).toBeLessThanOrEqual(4)
      },
    )

    test('names whose airport is not among the golden records are mostly left unmatched', async () => {
      const chosen = sample(unseen, 200, dice(31))
      const rows = corruptAll(chosen, it => it.name, { seed: 131, times: 2 }).map(({ original, text }) => ({
        name: text,
        state: original.state,
      }))
      const others = airports.filter(it => !chosen.includes(it))
      const found = await matchesOf(airport(byNameAndState), others, rows)
      expect(found.filter(key => key !== null).length).toBeLessThanOrEqual(30)
    })

    test('it is no matter of airports: corrupted film titles are found by the same matcher', async () => {
      const films = distinctTitles(JSON.parse(data('movies.json')) as readonly Record<string, unknown>[])
      const golden = contributionOf('partner', ['id', 'title'])
      const found = contributionOf('safety', ['title'], {
        compare: [{ column: 'title', against: ['title'] }],
        support: [],
        threshold: 0.65,
      })
      const entity = entityOf('film', { key: ['id'], columns: ['id', 'title'], contributions: [golden, found] })
      const corrupted = corruptAll(sample(films, 200, dice(41)), it => it.title, { seed: 141, times: 2 })
      const outcomes = countOutcomes(
        await matchesOf(
          { entity, golden, found },
          films,
          corrupted.map(({ text }) => ({ title: text })),
        ),
        corrupted.map(({ original }) => original.id),
      )
      expect(outcomes.right).toBeGreaterThanOrEqual(150)
      expect(outcomes.wrong).toBeLessThanOrEqual(8)
    })
  })

  function distinctTitles(films: readonly Record<string, unknown>[]): readonly { id: string; title: string }[] {
    const titles = films.map(film => film['Title']).filter(title => typeof title === 'string' && /\p{L}/u.test(title))
    return [...new Set(titles as string[])].map((title, i) => ({ id: String(i), title }))
  }

  describe('when in doubt', () => {
    const golden = [
      { iata: 'A', name: 'Franklin Field', city: 'Union', state: 'NJ' },
      { iata: 'B', name: 'Franklin Field', city: 'Union', state: 'NJ' },
      { iata: 'C', name: 'Jefferson Field', city: 'Salem', state: 'OR' },
      { iata: 'D', name: 'Jefferson Field', city: 'Salem', state: 'VA' },
      { iata: 'E', name: 'Flughafen Köln', city: 'Köln', state: 'NW' },
      { iata: 'F', name: '서울특별시', city: '서울', state: 'KR' },
    ]

    test.each([
      ['two records that fit equally well are left alone', { name: 'FRANKLIN FIELD', state: 'NJ' }, null],
      ['a support column decides between equal names', { name: 'jefferson field', state: 'VA' }, 'D'],
      ['a name in capitals without accents is the same name', { name: 'FLUGHAFEN KOLN', state: 'NW' }, 'E'],
      ['other scripts are words as well', { name: '서울시', state: 'KR' }, 'F'],
      ['no word in common is no match, whatever the support', { name: 'Hamilton', state: 'VA' }, null],
      ['no name is no match', { name: null, state: 'VA' }, null],
    ])('%s', async (_, row, expected) => {
      expect(await matchesOf(airport(byNameAndState), golden, [row])).toEqual([expected])
    })
  })
})

/** RFC 4180 with a header line, as far as the data set needs it. */
function parseCsv(text: string): readonly Record<string, string>[] {
  const [header, ...lines] = text.trim().split('\n').map(splitLine)
  return lines.map(cells => Object.fromEntries((header ?? []).map((name, i) => [name, cells[i] ?? ''])))
}

function splitLine(line: string): readonly string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '').trim() : quoted.replaceAll('""', '"'),
  )
}
