import { describe, expect, test } from 'vitest'
import { sqlite, t } from '../index.ts'
import { aboutOf } from './handle.ts'

const schema = {
  sale: { key: ['id'], columns: { id: t.int(), amount: t.int() } },
  added: { key: ['id'], columns: { id: t.int() } },
} as const

/** The contract of each table, of a config that no compiler has seen. */
function contractsOf(contract: unknown, renamed?: unknown): Readonly<Record<string, unknown>> {
  const options = { path: 'x', schema, contract, ...(renamed === undefined ? {} : { renamed }) }
  const about = aboutOf(sqlite('shop', options as never))
  if (about?.kind !== 'source') throw new Error('it is a source')
  return Object.fromEntries(about.def.tables.map(table => [table.name, table.contract]))
}

const told = { added: 'discard', dropped: 'freeze', types: 'freeze', key: 'freeze' }
const evolve = { added: 'evolve', dropped: 'evolve', types: 'evolve', key: 'freeze' }
const freeze = { added: 'freeze', dropped: 'freeze', types: 'freeze', key: 'freeze' }

describe('the contract of a source', () => {
  test.each([
    ['none', undefined, { sale: told, added: told }],
    ['a word', 'evolve', { sale: evolve, added: evolve }],
    ['discard', 'discard', { sale: told, added: told }],
    ['policies', { types: 'evolve' }, { sale: { ...told, types: 'evolve' }, added: { ...told, types: 'evolve' } }],
    ['by table', { sale: 'freeze' }, { sale: freeze, added: told }],
    [
      'by table and the rest',
      { sale: { key: 'evolve' }, '*': 'evolve' },
      { sale: { ...told, key: 'evolve' }, added: evolve },
    ],
  ])('%s', (_, given, expected) => {
    expect(contractsOf(given)).toEqual(expected)
  })

  test.each([
    ['strict', 'there is no contract "strict"; use freeze, evolve or discard'],
    [{ dropped: 'discard' }, 'the contract of dropped is one of freeze, evolve, not "discard"'],
    [{ sale: { columns: 'evolve' } }, 'there is no option "columns"'],
    [{ slae: 'evolve' }, 'there is no option "slae"'],
  ])('%o is a mistake', (given, problem) => {
    expect(() => contractsOf(given)).toThrow(problem)
  })

  test.each([
    [{ slae: {} }, 'there is no option "slae"'],
    [{ sale: { amuont: 'x' } }, 'has no column "amuont"'],
  ])('new names %o are a mistake', (renamed, problem) => {
    expect(() => contractsOf(undefined, renamed)).toThrow(problem)
  })
})
