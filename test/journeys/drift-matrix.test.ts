import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { env, ods, pg, sqlite, t } from '../../src/index.ts'
import type { Columns } from '../../src/config/column.ts'
import type { Contract } from '../../src/config/contract.ts'
import type { Handle } from '../../src/config/handle.ts'
import type { Table } from '../../src/config/source.ts'
import { startTestDatabase, type TestDatabase } from '../../src/testing/postgres/database.ts'
import { makeStore, type Store, type StoreRun } from '../support/store.ts'

// Every kind of change × every contract, against a system that reads the whole table each time (SQLite) and one that reads
// what changed since (PostgreSQL, by timestamp). Rows keep their stamps where only the shape changes: none of them is
// changed for the latter, and old values must come all the same.

type Kind = 'added' | 'dropped' | 'renamed' | 'retyped' | 'rekeyed'

const keyOnly = '{ key: evolve }'
const columns = { id: t.big(), label: t.text(), price: t.big().null() }

/** Makes the table anew in SQLite, which cannot alter all of this. */
const anew = (name: string, price: string, key: string): string => `
  create table ${name}_other (id bigint not null, label text not null, price ${price}, primary key (${key}));
  insert into ${name}_other select id, label, price from ${name}; drop table ${name}; alter table ${name}_other rename to ${name};`
const alike: Readonly<Record<'added' | 'dropped' | 'renamed', (name: string) => string>> = {
  added: name => `alter table ${name} add column note text; update ${name} set note = 'n' || id`,
  dropped: name => `alter table ${name} drop column price`,
  renamed: name => `alter table ${name} rename column price to cost`,
}
const statements: Readonly<Record<'sqlite' | 'postgres', Readonly<Record<Kind, (name: string) => string>>>> = {
  sqlite: {
    ...alike,
    retyped: name => `${anew(name, 'text', 'id')} update ${name} set price = 'many' where id = 2`,
    rekeyed: name => anew(name, 'bigint', 'id, label'),
  },
  postgres: {
    ...alike,
    retyped: name =>
      `alter table ${name} alter column price type text; update ${name} set price = 'many', at = now() where id = 2`,
    rekeyed: name =>
      `alter table ${name} drop constraint ${name}_pkey; alter table ${name} add primary key (id, label)`,
  },
}

/** The code that stops the table, or what a row of it is afterwards: `price` and, where it is staged, the new column. */
type Outcome = string | { readonly rows: readonly (readonly (string | null)[])[]; readonly told: string }

const asBefore = [
  ['1', '10'],
  ['2', '20'],
]
const noPrice = [
  ['1', null],
  ['2', null],
]
const isNew = 'has columns that the configuration does not name'
const matrix: Readonly<Record<Kind, Readonly<Record<string, Outcome>>>> = {
  added: {
    freeze: 'SOURCE_COLUMN_NEW',
    evolve: {
      rows: [
        ['1', '10', 'n1'],
        ['2', '20', 'n2'],
      ],
      told: isNew,
    },
    discard: { rows: asBefore, told: isNew },
  },
  dropped: {
    freeze: 'SOURCE_COLUMN_GONE',
    evolve: { rows: noPrice, told: 'the source no longer has price: NULL from now on' },
    discard: 'SOURCE_COLUMN_GONE',
  },
  renamed: {
    freeze: 'SOURCE_COLUMN_NEW',
    evolve: {
      rows: [
        ['1', null, '10'],
        ['2', null, '20'],
      ],
      told: 'the source no longer has price: NULL from now on',
    },
    discard: 'SOURCE_COLUMN_GONE',
  },
  retyped: {
    freeze: 'SOURCE_TYPE_CHANGED',
    // Row 2 no longer fits and keeps its last good version.
    evolve: { rows: asBefore, told: 'rows that do not fit int64 are rejected' },
    discard: 'SOURCE_TYPE_CHANGED',
  },
  rekeyed: {
    freeze: 'SOURCE_KEY_CHANGED',
    evolve: 'SOURCE_KEY_CHANGED',
    discard: 'SOURCE_KEY_CHANGED',
    [keyOnly]: { rows: asBefore, told: "the source's key was id and is id, label; rows are still known by id" },
  },
}
const cases = Object.entries(matrix).flatMap(([kind, byContract]) =>
  Object.entries(byContract).map(([contract, outcome]) => {
    return { kind: kind as Kind, contract, outcome, name: `${kind}_${contract === keyOnly ? 'key' : contract}` }
  }),
)

let database: TestDatabase
let store: Store
beforeAll(async () => {
  database = await startTestDatabase()
})
afterAll(async () => {
  await store?.remove()
  await database?.stop()
})

/** A source with these tables, of two rows each. */
const systems = {
  sqlite: {
    create: (name: string) =>
      `create table ${name} (id bigint not null primary key, label text not null, price bigint);`,
    source: (path: string, names: readonly string[], contract: Readonly<Record<string, Contract>>) =>
      sqlite('shop', { path, schema: schemaOf(names, columns), contract }),
    execute: async (statement: string) => store.execute(statement),
  },
  postgres: {
    create: (name: string) => `drop table if exists ${name};
      create table ${name} (id bigint primary key, label text not null, price bigint, at timestamptz not null default now());`,
    source: (_: string, names: readonly string[], contract: Readonly<Record<string, Contract>>) =>
      pg('shop', {
        url: env(database.url),
        schema: schemaOf(names, { ...columns, at: t.timestamptz() }),
        changes: { '*': { technique: 'timestamp', column: 'at', deletes: 'keep' } },
        contract,
      }),
    execute: async (statement: string) => void (await database.client.query(statement)),
  },
} as const

type Shape<C> = { readonly [name: string]: { readonly key: readonly ['id']; readonly columns: C } }

function schemaOf<C extends Columns>(names: readonly string[], all: C): Shape<C> {
  return Object.fromEntries(names.map(name => [name, { key: ['id'], columns: all } as const]))
}

/** A project of these tables, read once. */
async function makeShop(
  system: 'sqlite' | 'postgres',
  contract: Readonly<Record<string, Contract>>,
): Promise<(statement: string) => Promise<void>> {
  const { create, source, execute } = systems[system]
  const names = Object.keys(contract)
  store = await makeStore('select 1', path => {
    const shop = source(path, names, contract) as unknown as Readonly<
      Record<string, Table<'shop', typeof columns, ['id']>>
    >
    const entities = names.map(name => [
      name,
      ods
        .entity(name, { key: 'id', columns: { id: t.big(), price: t.big().null() } })
        .from(shop[name] as Table<'shop', typeof columns, ['id']>, r => ({ id: r.id, price: r.price })),
    ])
    return Object.fromEntries(entities) as Record<string, Handle>
  })
  for (const name of names) {
    await execute(`${create(name)} insert into ${name} (id, label, price) values (1, 'a', 10), (2, 'b', 20)`)
  }
  return execute
}

async function stagedRows(name: string): Promise<readonly (readonly (string | null)[])[]> {
  const found = await store.rows(`select * exclude (label, _load, _unit, _line) from staging.shop_${name} order by id`)
  return found.map(row => {
    const { at: _, ...rest } = row
    return Object.values(rest).map(value => (value === null ? null : String(value)))
  })
}

describe.each(['sqlite', 'postgres'] as const)('%s', system => {
  let run: StoreRun
  beforeAll(async () => {
    const contracts = cases.map(it => [it.name, it.contract === keyOnly ? { key: 'evolve' } : it.contract] as const)
    const execute = await makeShop(system, {
      ...(Object.fromEntries(contracts) as Record<string, Contract>),
      beside: 'freeze',
    })
    await store.run()
    for (const { kind, name } of cases) await execute(statements[system][kind](name))
    await execute("insert into beside (id, label, price) values (3, 'c', 30)")
    run = await store.run()
  })
  afterAll(() => store.remove())

  test.each(cases)('$kind under $contract', async ({ kind, name, outcome }) => {
    const stopped = run.stopped.filter(it => it.table.name === name).map(it => it.error.code)
    const noted = await store.rows(`select code from naru.stopped where "table" = '${name}'`)
    if (typeof outcome === 'string') {
      expect(stopped).toEqual([outcome])
      expect(noted).toEqual([{ code: outcome }])
      expect(await stagedRows(name)).toEqual(asBefore)
    } else {
      expect([...stopped, ...noted]).toEqual([])
      expect(run.notes.filter(note => note.includes(`shop.${name}`)).join('\n')).toContain(outcome.told)
      expect(await stagedRows(name)).toEqual(outcome.rows)
      const rejected = await store.rows(`select reason from naru.reject where "table" = '${name}'`)
      expect(rejected).toHaveLength(kind === 'retyped' ? 1 : 0)
    }
    expect(await store.rows(`select id from ods.${name} order by id`)).toEqual([{ id: 1n }, { id: 2n }])
  })

  test('whatever becomes of some tables, the others are read and published', async () => {
    expect(await store.rows('select count(*) as n from ods.beside')).toEqual([{ n: 3n }])
    expect(await store.rows('select state from naru.run order by run')).toEqual([{ state: 'done' }, { state: 'done' }])
  })
})

describe('a table that stopped', () => {
  afterEach(() => store.remove())

  test.each(['sqlite', 'postgres'] as const)(
    'goes on where it stood when its shape is right again: %s',
    async system => {
      const execute = await makeShop(system, { item: 'freeze', beside: 'freeze' })
      await store.run()
      await execute('alter table item rename column price to cost')
      await store.run()
      await execute(
        "alter table item rename column cost to price; insert into item (id, label, price) values (3, 'c', 30)",
      )
      const run = await store.run()
      expect(run.stopped).toEqual([])
      expect(await store.rows('select id, price from ods.item order by id')).toEqual([
        { id: 1n, price: 10n },
        { id: 2n, price: 20n },
        { id: 3n, price: 30n },
      ])
      expect(await store.rows('select * from naru.stopped')).toEqual([])
    },
  )

  test.each(['sqlite', 'postgres'] as const)(
    'because it is gone leaves the others in the same view: %s',
    async system => {
      const execute = await makeShop(system, { item: 'freeze', beside: 'freeze' })
      await store.run()
      await execute("drop table item; insert into beside (id, label, price) values (3, 'c', 30)")
      const run = await store.run()
      expect(run.stopped.map(it => it.error.code)).toEqual(['SOURCE_TABLE_GONE'])
      expect(run.notes.join('\n')).not.toContain('trying again')
      expect(await store.rows('select count(*) as n from staging.shop_beside')).toEqual([{ n: 3n }])
    },
  )

  test('that was never read ends the run: there is nothing that the stages could go on with', async () => {
    const execute = await makeShop('sqlite', { item: 'freeze', beside: 'freeze' })
    await execute('alter table item drop column price')
    await expect(store.run()).rejects.toMatchObject({ code: 'SOURCE_COLUMN_GONE' })
    expect(await store.rows("select count(*) as n from naru.load where state = 'published'")).toEqual([{ n: 0n }])
  })

  test('alone in its run ends it with its error', async () => {
    const execute = await makeShop('sqlite', { item: 'freeze', beside: 'freeze' })
    await store.run()
    await execute('alter table item drop column price')
    await expect(store.run({ selectors: ['shop.item'] })).rejects.toMatchObject({ code: 'SOURCE_COLUMN_GONE' })
  })
})
