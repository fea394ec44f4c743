import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OpenProject } from '../../src/app/project.ts'
import { openEngine } from '../../src/app/project.ts'
import { runProject } from '../../src/app/run-project.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import { defineConfig, duckdb, env, mysql, ods, pg, t } from '../../src/index.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { never } from '../../src/testing/engine.ts'
import { connectMysql } from '../../src/testing/mysql/database.ts'
import { startTestDatabase } from '../../src/testing/postgres/database.ts'
import { startMariaDb } from '../servers/mariadb.ts'
import { placeIn } from '../support/place.ts'

// Tables that are compared in several ranges, whatever the type of their key: rows that somebody changed, removed or added
// here are found, each in the range that it is in, and nothing else is.

interface Source {
  readonly url: string
  execute(statement: string): Promise<void>
  stop(): Promise<void>
}

const letters = ['a', 'B', 'ä', 'Z', '_', '-', 'é', 'Ö', 'z', '9']
const hex = (i: number): string => ((i * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, '0')

/** The tables by the type of their key: a value for each row, and one that no row has. */
const keys = {
  word: { value: (i: number) => `'${letters[i % 10]}${i}'`, ghost: `'Zghost'` },
  wall: {
    value: (i: number) => `'2026-03-${10 + (i % 20)} 11:22:${10 + (i % 50)}.00000${i % 7}'`,
    ghost: `'2026-03-15'`,
  },
  moment: {
    value: (i: number) => `'2026-03-${10 + (i % 20)} 11:22:${10 + (i % 50)}.00000${i % 7}'`,
    ghost: `'2026-03-15'`,
  },
  ident: {
    value: (i: number) => `'${hex(i)}-0000-1000-8000-000000000000'`,
    ghost: `'7fffffff-0000-1000-8000-000000000001'`,
  },
} as const
type Name = keyof typeof keys
const names = Object.keys(keys) as Name[]

const systems = {
  PostgreSQL: {
    types: { word: 'text collate "und-x-icu"', wall: 'timestamp', moment: 'timestamptz', ident: 'uuid' },
    bytes: (text: string) => `'\\x${text}'::bytea`,
    binary: 'bytea',
    /** Tables whose keys it has to sort, all rows of a turn at once. */
    sorts: ['word', 'pair', 'tail'] as readonly string[],
    start: async (): Promise<Source> => {
      const database = await startTestDatabase({ wal_level: 'logical', timezone: 'Asia/Seoul' })
      const execute = async (statement: string): Promise<void> => void (await database.client.query(statement))
      return { url: database.url, execute, stop: () => database.stop() }
    },
  },
  MariaDB: {
    types: { word: 'varchar(40)', wall: 'datetime(6)', moment: 'timestamp(6)', ident: 'uuid' },
    bytes: (text: string) => `x'${text}'`,
    binary: 'varbinary(20)',
    sorts: ['word', 'pair', 'tail', 'ident'] as readonly string[],
    start: async (): Promise<Source> => {
      const server = await startMariaDb({ 'log-bin': 'mysqld-bin', 'server-id': '1', 'binlog-format': 'ROW' })
      const client = await connectMysql(server.url())
      const execute = async (statement: string): Promise<void> => void (await client.query(statement))
      const stop = async (): Promise<void> => {
        await client.end()
        await server.stop()
      }
      return { url: server.url(), execute, stop }
    },
  },
} as const

function project(kind: keyof typeof systems, folder: string, url: string): OpenProject {
  const v = t.text().null()
  const word = { key: ['k'], columns: { k: t.text(), v } } as const
  const wall = { key: ['k'], columns: { k: t.timestamp(), v } } as const
  const moment = { key: ['k'], columns: { k: t.timestamptz(), v } } as const
  const ident = { key: ['k'], columns: { k: t.uuid(), v } } as const
  const pair = { key: ['k', 'n'], columns: { k: t.text(), n: t.int(), v } } as const
  const tail = { key: ['n', 'k'], columns: { n: t.int(), k: t.text(), v } } as const
  const raw = { key: ['k'], columns: { k: t.bytes(), v } } as const
  const given = {
    url: env('SHOP_URL'),
    chunkRows: 40,
    schema: { word, wall, moment, ident, pair, tail, raw },
    changes: {
      word: { technique: 'log' },
      wall: { technique: 'log' },
      moment: { technique: 'log' },
      ident: { technique: 'log' },
      pair: { technique: 'log' },
      tail: { technique: 'log' },
      raw: { technique: 'log' },
    },
  } as const
  const shop = kind === 'MariaDB' ? mysql('shop', given) : pg('shop', given)
  const models = {
    word: ods.export(
      'word',
      ods.entity('word', { ...word, key: 'k' }).from(shop.word, r => ({ ...r })),
    ),
    wall: ods.export(
      'wall',
      ods.entity('wall', { ...wall, key: 'k' }).from(shop.wall, r => ({ ...r })),
    ),
    moment: ods.export(
      'moment',
      ods.entity('moment', { ...moment, key: 'k' }).from(shop.moment, r => ({ ...r })),
    ),
    ident: ods.export(
      'ident',
      ods.entity('ident', { ...ident, key: 'k' }).from(shop.ident, r => ({ ...r })),
    ),
    pair: ods.export(
      'pair',
      ods.entity('pair', { ...pair, key: ['k', 'n'] }).from(shop.pair, r => ({ ...r })),
    ),
    tail: ods.export(
      'tail',
      ods.entity('tail', { ...tail, key: ['n', 'k'] }).from(shop.tail, r => ({ ...r })),
    ),
    raw: ods.export(
      'raw',
      ods.entity('raw', { ...raw, key: 'k' }).from(shop.raw, r => ({ ...r })),
    ),
  }
  return {
    project: defineConfig({
      name: 'compared',
      engine: duckdb({ path: 'data.duckdb' }),
      models,
    }),
    ...placeIn(folder),
    secret: () => new Secret(url),
  }
}

describe.each(Object.keys(systems) as (keyof typeof systems)[])('keys of %s that are compared in ranges', kind => {
  const system = systems[kind]
  let source: Source
  let folder: string
  let open: OpenProject

  beforeAll(async () => {
    source = await system.start()
    folder = await mkdtemp(path.join(os.tmpdir(), 'naru-compare-keys-'))
    open = project(kind, folder, source.url)
  }, 180_000)
  afterAll(async () => {
    await source?.stop()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  const rows = async (query: string): Promise<readonly Row[]> => {
    const engine = await openEngine(open, 'read')
    try {
      return await engine.transaction(never, tx => tx.rows(rawSql(query)))
    } finally {
      await engine.close()
    }
  }
  const run = () => runProject(open, { selectors: [], hashControls: false, emit: () => {}, signal: never })
  const all: readonly string[] = [...names, 'pair', 'tail', 'raw']

  test('what somebody changed, removed or added here is found in its range, and nothing else', async () => {
    const many = Array.from({ length: 90 }, (_, i) => i)
    for (const name of names) {
      await source.execute(`create table ${name} (k ${system.types[name]} primary key, v varchar(9))`)
      await source.execute(
        `insert into ${name} values ${many.map(i => `(${keys[name].value(i)}, 'v${i}')`).join(', ')}`,
      )
    }
    await source.execute(`create table pair (k ${system.types.word}, n int, v varchar(9), primary key (k, n))`)
    await source.execute(`insert into pair values ${many.map(i => `('${letters[i % 3]}', ${i}, 'v${i}')`).join(', ')}`)
    await source.execute(`create table tail (n int, k ${system.types.word}, v varchar(9), primary key (n, k))`)
    await source.execute(`insert into tail values ${many.map(i => `(${i}, '${letters[i % 3]}', 'v${i}')`).join(', ')}`)
    await source.execute(`create table raw (k ${system.binary} primary key, v varchar(9))`)
    await source.execute(`insert into raw values ${many.map(i => `(${system.bytes(hex(i))}, 'v${i}')`).join(', ')}`)
    for (let i = 0; i < 2; i++) expect((await run()).differing).toEqual([])
    const clean = await rows(`select "table" as name, count(*)::integer as ranges, sum(rows_source)::integer as theirs,
      sum(rows_staged)::integer as ours, bool_and(equal) as equal, max(note) as note
      from naru.comparison group by all order by all`) // prettier-ignore
    expect(clean).toEqual(
      all.toSorted().map(name => ({
        name,
        ranges: system.sorts.includes(name) ? 2 : 3,
        theirs: 90,
        ours: 90,
        equal: true,
        note: null,
      })),
    )

    const expected: unknown[] = []
    const engine = await openEngine(open, 'write')
    await engine.transaction(never, async tx => {
      for (const name of all) {
        const table = `staging.shop_${name}`
        const ghosts: Readonly<Record<string, string>> = {
          pair: `'a', 1000`,
          tail: `50, 'Zghost'`,
          raw: `'\\x7F'::blob`,
        }
        const ghost = ghosts[name] ?? keys[name as Name].ghost
        await tx.execute(
          rawSql(`insert into ${table} select ${ghost}, 'ghost', _load, _unit, _line from ${table} where v = 'v33'`),
        )
        const text = { pair: `k || ', ' || n`, tail: `n || ', ' || k` }[name] ?? 'k::varchar'
        const asked = `select v, ${text} as key from ${table} where v in ('v11', 'v22', 'ghost')`
        const what = { v11: 'missing here', v22: 'different', ghost: 'not in the source' } as const
        const found = await tx.rows(rawSql(asked))
        expected.push(...found.map(row => [name, row['key'], what[row['v'] as keyof typeof what]]))
        await tx.execute(rawSql(`delete from ${table} where v = 'v11'`))
        await tx.execute(rawSql(`update ${table} set v = 'x' where v = 'v22'`))
      }
    })
    await engine.close()
    const before = (await rows('select max(at_micros) as at from naru.comparison'))[0]?.['at']
    for (let i = 0; i < 2; i++) await run()
    const found = await rows(
      `select "table" as name, keys, differing::integer as differing, note from naru.comparison
       where equal = false and at_micros > ${String(before)}`,
    )
    const told = found.flatMap(row =>
      (JSON.parse(String(row['keys'])) as { key: string; what: string }[]).map(it => [row['name'], it.key, it.what]),
    )
    const sorted = (list: readonly unknown[]): readonly string[] => list.map(it => JSON.stringify(it)).sort()
    expect(sorted(told)).toEqual(sorted(expected))
    expect(found.every(row => row['note'] === null)).toBe(true)
  }, 300_000)
})
