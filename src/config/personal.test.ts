import { describe, expect, test } from 'vitest'
import * as naru from '../index.ts'

const { t, ods, env, rule, when } = naru

const shop = {
  buyer: {
    key: ['id'],
    columns: { id: t.int(), name: t.text().pii(), phone: t.text().null().pii(), born: t.int().pii(), city: t.text() },
  },
} as const
const { buyer } = naru.pg('web', { url: env('URL'), schema: shop })

// `as never` stands for a config that no compiler has seen: `naru run` evaluates without checking types.
const entity = ods.entity('e', { key: 'id', columns: { id: t.int(), note: t.text() } })
const person = ods
  .entity('person', { key: 'name', columns: { name: t.text().pii(), city: t.text() } })
  .from(buyer, r => ({ name: r.name, city: r.city }))
  .match(buyer, r => ({ city: r.city }), { compare: { city: ['city'] }, as: 'by_city' })
const place = ods
  .entity('place', { key: 'city', columns: { city: t.text(), owner: t.text().pii() } })
  .from(buyer, r => ({ city: r.city, owner: r.name }))
  .match(buyer, r => ({ owner: r.name }), { compare: { owner: ['owner'] }, as: 'by_name' })

describe('personal data flows only into columns that are marked', () => {
  test.each<[string, string, () => unknown]>([
    ['a copy', 'web.buyer.name', () => entity.from(buyer, r => ({ id: r.id, note: r.name as never }))],
    [
      'a conversion',
      'web.buyer.born',
      () => entity.from(buyer, r => ({ id: r.id, note: r.born.as(t.text()) as never })),
    ],
    [
      'a part of a text',
      'web.buyer.name',
      () => entity.from(buyer, r => ({ id: r.id, note: r.city.concat(' ', r.name.substring(1, 1)) as never })),
    ],
    [
      'a replacement',
      'web.buyer.phone',
      () => entity.from(buyer, r => ({ id: r.id, note: r.phone.ifNull('') as never })),
    ],
    [
      'a map',
      'web.buyer.name',
      () => entity.from(buyer, r => ({ id: r.id, note: r.name.map({ Kim: 'x' }, 'keep') as never })),
    ],
    [
      'a branch',
      'web.buyer.name',
      () => entity.from(buyer, r => ({ id: r.id, note: when(r.id.gt(1)).then(r.name).otherwise('') as never })),
    ],
    [
      'a choice',
      'web.buyer.born',
      () => entity.from(buyer, r => ({ id: r.id, note: when(r.born.lt(1900)).then('a').otherwise('b') as never })),
    ],
    [
      'a match',
      'web.buyer.name',
      () => entity.match(buyer, r => ({ note: r.name as never }), { compare: { note: ['note'] } }),
    ],
    [
      'a golden key',
      'the key of person',
      () => entity.from(buyer, r => ({ id: r.id, note: person.resolve('by_city', r).ifNull('') as never })),
    ],
  ])('%s is refused', (_, what, make) => {
    expect(make).toThrow(`${what} is personal data and flows into e.note, which is not marked: add .pii() to e.note`)
  })

  test('a repair is refused', () => {
    expect(() => place.cleanse({ city: e => e.city.concat(e.owner) as never })).toThrow(
      'place.owner is personal data and flows into place.city, which is not marked: add .pii() to place.city',
    )
  })

  test('what only an entity marks is marked in the source too, for every other entity', () => {
    const { buyer: city } = naru.pg('web', { url: env('URL'), schema: shop })
    const home = ods
      .entity('home', { key: 'id', columns: { id: t.int(), city: t.text().pii() } })
      .from(city, r => ({ id: r.id, city: r.city }))
    const engine = naru.duckdb({ path: 'x' })
    const project = naru.defineConfig({ engine, models: [home] })
    expect(project.sources[0]?.tables[0]?.columns.find(column => column.name === 'city')?.personal).toBe(true)
    const plain = entity.from(buyer, r => ({ id: r.id, note: r.city }))
    expect(() => naru.defineConfig({ engine, models: [home, plain] })).toThrow(
      'web.buyer.city is personal data and flows into e.note, which is not marked',
    )
  })

  test('whether a value is there may be told, and so may a plain key that was found by a name', () => {
    const made = entity.from(buyer, r => ({
      id: r.id,
      note: when(r.phone.isNull()).then('none').otherwise(place.resolve('by_name', r).ifNull('?')),
    }))
    expect(made.entityName).toBe('e')
  })

  test('rules and conditions may read it: they let no value through', () => {
    const made = place.rules({ owner: rule.required(), '*': e => rule.check(e.owner.ne(e.city)) })
    expect(ods.export('p', made, { mask: { owner: naru.mask.drop() }, where: e => e.owner.ne('') }).exportName).toBe(
      'p',
    )
  })
})
