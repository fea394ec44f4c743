import { expect, test } from 'vitest'
import { env, files, mask, none, ods, t, defineConfig, duckdb } from '../index.ts'
import type { Project } from '../config/model.ts'
import { personalData, personalTables } from './personal.ts'

const { people, calls } = files('crm', {
  folder: 'in',
  tables: {
    people: {
      glob: 'p*.csv',
      key: 'email',
      scope: 'full',
      columns: { email: t.text().pii(), town: t.text(), plate: t.text() },
    },
    calls: { glob: 'c*.csv', key: 'id', scope: 'full', columns: { id: t.int(), who: t.text().pii() } },
  },
})
const person = ods
  .entity('person', {
    key: 'email',
    columns: { email: t.text().pii(), town: t.text(), car: t.text().null().pii(), name: t.text().null().pii() },
  })
  .from(people, r => ({ email: r.email.lower(), town: r.town, car: r.plate, name: none }))
  .match(calls, r => ({ name: r.who }), { compare: { name: ['name'] }, as: 'calls' })
const call = ods
  .entity('call', { key: 'id', columns: { id: t.int(), isKnown: t.bool() } })
  .from(calls, r => ({ id: r.id, isKnown: r.who.isNull().not() }))
const mark = mask.hash(env('K'))
const project = defineConfig({
  engine: duckdb({ path: 'x' }),
  models: [ods.export('p', person, { mask: { email: mark, car: mark, name: mark } }), call],
})

/** The same project as if a builder had not refused it: nothing is declared in its entities. */
function undeclared(): Project {
  const columns = (all: Project['entities'][number]['columns']) => all.map(column => ({ ...column, personal: false }))
  return { ...project, entities: project.entities.map(it => ({ ...it, columns: columns(it.columns) })) }
}

test('every table that holds personal data is named with its columns, and no other', () => {
  const staged = (table: string, columns: readonly string[]) =>
    ['', '__past', '__landing', '__sweep'].map(suffix => ({ schema: 'staging', table: `${table}${suffix}`, columns }))
  expect(personalTables(project).filter(it => it.columns.length > 0)).toEqual([
    // Only the entity says that a plate is personal; the staged column holds the same values.
    ...staged('crm_people', ['email', 'plate']),
    ...staged('crm_calls', ['who']),
    { schema: 'cleansed', table: 'person_crm', columns: ['email', 'car', 'name', '_source_key'] },
    {
      schema: 'cleansed',
      table: 'person_calls',
      columns: ['email', 'car', 'name', '_k_email', '_k_car', '_k_name'],
    },
    { schema: 'ods', table: 'person', columns: ['email', 'car', 'name'] },
    { schema: 'naru', table: 'crosswalk', columns: ['source_key', 'golden_key'] },
  ])
})

test('what is made from personal data is personal, declared or not', () => {
  expect([...personalData(undeclared()).inEntity('person')]).toEqual(['email', 'car', 'name'])
  expect(personalData(undeclared()).inGoldenKey('person')).toBe(true)
})

test('keys are personal with what they are made of, and when nobody knows', () => {
  const personal = personalData(project)
  expect(personal.inSourceKey('person', 'crm')).toBe(true)
  expect(personal.inSourceKey('person', 'calls')).toBe(true)
  expect(personal.inSourceKey('call', 'crm')).toBe(false)
  expect(personal.inSourceKey('person', 'gone')).toBe(true)
  expect(personal.inGoldenKey('gone')).toBe(true)
})
