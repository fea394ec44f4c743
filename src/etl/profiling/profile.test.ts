import { afterEach, beforeEach, expect, test } from 'vitest'
import { ident, sql, rawSql } from '../../core/sql.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { EntityDef, Project, RuleDef, SourceTableDef } from '../../config/model.ts'
import type { ChangeSet } from '../../run/context.ts'
import { columnDefinitions, stagingLayout, stagingNames } from '../../run/tables.ts'
import type { Engine, Row } from '../../services/engine/contract.ts'
import { never, openTestEngine, stageContext } from '../../testing/engine.ts'
import { controlTables, profileStaged } from './index.ts'

let engine: Engine
beforeEach(async () => {
  engine = await openTestEngine()
})
afterEach(() => engine.close())

const int: ColumnType = { kind: 'int', bits: 64 }
const text: ColumnType = { kind: 'text' }
const time: ColumnType = { kind: 'timestamp', zoned: false }

function columnDef(name: string, type: ColumnType, personal = false): ColumnDef {
  return { name, type, nullable: true, personal }
}

function tableOf(columns: readonly ColumnDef[], files = false): SourceTableDef {
  return {
    source: 'shop',
    name: 'item',
    remote: 'item',
    columns,
    key: ['id'],
    change: files
      ? {
          technique: 'files',
          scope: 'full',
          format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
          encoding: 'utf8',
          checksum: 'none',
        }
      : { technique: 'full' },
  }
}

/** An entity that takes the table's columns as they are. */
function projectOf(table: SourceTableDef, rules: readonly RuleDef[], cleanse: EntityDef['cleanse'] = []): Project {
  const map = table.columns.map(c => ({
    column: c.name,
    expr: { kind: 'column', name: c.name, type: c.type } as const,
  }))
  const entity: EntityDef = {
    name: 'item',
    columns: table.columns,
    key: ['id'],
    contributions: [{ as: 'shop', source: 'shop', table: 'item', map, where: null, match: null }],
    rules,
    cleanse,
    conflicts: [],
  }
  const source = { name: 'shop', adapter: 'postgres', options: {}, tables: [table] }
  return {
    name: 'test',
    engine: { kind: 'duckdb', options: {} },
    sources: [source],
    entities: [entity],
    exports: [],
    dimensions: [],
    facts: [],
    summaries: [],
    transfers: [],
  }
}

/** Stages what `select` gives and profiles it as run 1. */
async function profile(
  table: SourceTableDef,
  select: string,
  more: { rules?: readonly RuleDef[]; cleanse?: EntityDef['cleanse']; keys?: string } = {},
): Promise<void> {
  const { image } = stagingNames(table)
  await engine.transaction(never, async tx => {
    for (const statement of controlTables) await tx.execute(statement)
    await tx.execute(sql`create table ${image} (${columnDefinitions(tx.dialect, stagingLayout(table))})`)
    await tx.execute(sql`insert into ${image} select *, 1, 0, null from (${rawSql(select)})`)
    const keys = more.keys === undefined ? null : ident('staging', 'keys')
    if (keys !== null) await tx.execute(sql`create table ${keys} as ${rawSql(more.keys ?? '')}`)
    const changes: ChangeSet = {
      table: image,
      scope: keys === null ? 'all' : 'delta',
      keys,
      inserted: 0,
      updated: 0,
      deleted: 0,
    }
    const project = projectOf(table, more.rules ?? [], more.cleanse)
    await profileStaged(stageContext(tx, { project }), { table, changes })
  })
}

function rows(query: string): Promise<readonly Row[]> {
  return engine.transaction(never, tx => tx.rows(rawSql(query)))
}

function rule(id: string, column: string, check: RuleDef['check']): RuleDef {
  return { id, columns: [column], check, severity: 'quarantine', limit: null }
}

test('each column has its statistics, top values and histogram', async () => {
  const table = tableOf([columnDef('id', int), columnDef('name', text), columnDef('seen', time)])
  await profile(
    table,
    `select i, case when i = 9 then null when i < 4 then 'a' else 'bcd' end, timestamp '2001-01-01' + to_hours(cast(i as int))
     from range(10) t(i)`,
  )
  const [id, name, seen] = await rows('select * from naru.profile order by "column"')
  expect(id).toMatchObject({
    column: 'id',
    scope: 'all',
    rows: 10n,
    nulls: 0n,
    min: '0',
    max: '9',
    mean: 4.5,
    sample_rows: null,
  })
  expect(Number(id?.['distinct_about'])).toBeGreaterThan(7)
  expect(JSON.parse(id?.['histogram'] as string)).toEqual({
    unit: 'value',
    from: 0,
    width: 1,
    counts: Array(10).fill(1),
  })
  expect(id?.['top']).toBeNull()
  expect(name).toMatchObject({
    nulls: 1n,
    min: 'a',
    max: 'bcd',
    mean: null,
    length_min: 1n,
    length_max: 3n,
    histogram: null,
  })
  expect(JSON.parse(name?.['top'] as string)).toEqual([
    { value: 'bcd', count: 5 },
    { value: 'a', count: 4 },
  ])
  expect(seen).toMatchObject({ min: '2001-01-01 00:00:00', max: '2001-01-01 09:00:00' })
  const { counts } = JSON.parse(seen?.['histogram'] as string) as { counts: number[] }
  expect([counts.length, counts.reduce((a, b) => a + b)]).toEqual([20, 10])
})

test('text of a file is measured as its declared type, and the share that fits is told', async () => {
  const table = tableOf([columnDef('id', text), columnDef('size', int)], true)
  await profile(table, `select * from (values ('a', '10'), ('b', '9'), ('c', 'many'), ('d', null)) t`)
  const [size] = await rows(`select * from naru.profile where "column" = 'size'`)
  expect(size).toMatchObject({ nulls: 1n, castable: 2n, min: '9', max: '10', mean: 9.5, length_max: 4n })
})

test('no value of a personal column is in the profile', async () => {
  const table = tableOf([columnDef('id', int), columnDef('mail', text, true), columnDef('pay', int, true)])
  const unknown = [rule('mail.known', 'mail', { kind: 'oneOf', values: ['x'] })]
  await profile(table, `select i, 'canary@x', 31337 from range(4) t(i)`, { rules: unknown })
  const found = await rows(
    'select cast(t as varchar) as v from naru.profile t union all select cast(t as varchar) from naru.rule_result t',
  )
  expect(found.map(row => row['v']).join()).not.toMatch(/canary|31337/)
  const [mail] = await rows(`select * from naru.profile where "column" = 'mail'`)
  expect(mail).toMatchObject({ nulls: 0n, length_min: 8n, length_max: 8n, min: null, top: null })
})

test('infinite and huge values end no profile', async () => {
  const float: ColumnType = { kind: 'float', bits: 64 }
  const table = tableOf([columnDef('id', int), columnDef('f', float), columnDef('at', time)])
  await profile(
    table,
    `select * from (values (1, 'nan'::double, 'infinity'::timestamp), (2, 'infinity', timestamp '2001-01-01'),
     (3, 1e308, null), (4, 2, '-infinity')) t`,
  )
  const [at, f] = await rows(`select * from naru.profile where "column" in ('f', 'at') order by "column"`)
  expect(f).toMatchObject({ mean: 2, max: 'nan' })
  expect(at).toMatchObject({ min: '-infinity', max: 'infinity' })
})

test('an empty table and an all-NULL column have a profile', async () => {
  const table = tableOf([columnDef('id', int), columnDef('name', text)])
  await profile(table, `select i, null from range(0) t(i)`)
  expect(await rows('select rows, nulls, min, top, histogram from naru.profile')).toEqual([
    { rows: 0n, nulls: 0n, min: null, top: null, histogram: null },
    { rows: 0n, nulls: 0n, min: null, top: null, histogram: null },
  ])
})

test('top values of a large table come from a sample, which says how large it is', async () => {
  const table = tableOf([columnDef('id', int), columnDef('even', int)])
  await profile(table, `select i, i % 2 from range(300000) t(i)`)
  const [even] = await rows(`select * from naru.profile where "column" = 'even'`)
  const sampled = Number(even?.['sample_rows'])
  expect(sampled).toBeGreaterThan(30_000)
  expect(sampled).toBeLessThan(70_000)
  const top = JSON.parse(even?.['top'] as string) as { count: number }[]
  expect(top.reduce((sum, one) => sum + one.count, 0)).toBe(sampled)
})

test('a delta is measured by its keys alone', async () => {
  const table = tableOf([columnDef('id', int), columnDef('size', int)])
  await profile(table, `select i, i from range(100) t(i)`, {
    keys: `select * from (values (5, 'u'), (7, 'i'), (999, 'd')) t(id, "_op")`,
  })
  const [id] = await rows(`select * from naru.profile where "column" = 'id'`)
  expect(id).toMatchObject({ scope: 'delta', rows: 2n, min: '5', max: '7' })
})

test('rules are counted on mapped values before repair; what cannot be known yet says why', async () => {
  const table = tableOf([columnDef('id', int), columnDef('name', text), columnDef('size', int)])
  const rules = [
    rule('name.known', 'name', { kind: 'oneOf', values: ['a'] }),
    rule('name.unique', 'name', { kind: 'unique' }),
    rule('size.unique', 'size', { kind: 'unique' }),
    rule('size.staged', 'size', { kind: 'reference', to: { source: 'shop', table: 'item' } }),
    rule('size.entity', 'size', { kind: 'reference', to: { entity: 'item' } }),
  ]
  const trim = { kind: 'call', fn: 'trim', args: [{ kind: 'column', name: 'name', type: text }], type: text } as const
  await profile(table, `select * from (values (1, 'a', 1), (2, ' a', 1), (3, 'a', 9), (4, null, null)) t`, {
    rules,
    cleanse: [{ column: 'name', expr: trim }],
  })
  expect(await rows('select rule, phase, rows_checked, rows_failed, samples, note from naru.rule_result')).toEqual([
    { rule: 'name.known', phase: 'before', rows_checked: 4n, rows_failed: 1n, samples: '["2"]', note: null },
    { rule: 'name.unique', phase: 'before', rows_checked: 4n, rows_failed: 1n, samples: '["3"]', note: null },
    {
      rule: 'size.unique',
      phase: 'before',
      rows_checked: 4n,
      rows_failed: null,
      samples: '[]',
      note: 'no repair touches its columns: the result after repair is the same',
    },
    { rule: 'size.staged', phase: 'before', rows_checked: 4n, rows_failed: 1n, samples: '["3"]', note: null },
    {
      rule: 'size.entity',
      phase: 'before',
      rows_checked: 4n,
      rows_failed: null,
      samples: '[]',
      note: 'it refers to an entity, which is integrated later: evaluated after repair only',
    },
  ])
})

test('drift compares a profile with the one before it', async () => {
  const table = tableOf([columnDef('id', int), columnDef('size', int)])
  await profile(table, `select i, i from range(10) t(i)`)
  await engine.transaction(never, async tx => {
    const { image } = stagingNames(table)
    await tx.execute(sql`update ${image} set size = ${null} where id < 5`)
    const ctx = stageContext(tx, { project: projectOf(table, []), run: { id: 2n, asOfMicros: 0n } })
    const changes: ChangeSet = { table: image, scope: 'all', keys: null, inserted: 0, updated: 0, deleted: 0 }
    await profileStaged(ctx, { table, changes })
  })
  expect(
    await rows(
      `select "column", previous_run, null_share_change, min_changed, max_changed from naru.profile_drift order by 1`,
    ),
  ).toEqual([
    { column: 'id', previous_run: 1n, null_share_change: 0, min_changed: false, max_changed: false },
    { column: 'size', previous_run: 1n, null_share_change: 0.5, min_changed: true, max_changed: false },
  ])
})
