import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Expr } from '../../core/expr.ts'
import { Secret } from '../../core/secret.ts'
import { ident, joinSql, rawSql, sql } from '../../core/sql.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import type { EntityDef, ExportDef, MaskDef } from '../../config/model.ts'
import type { ChangeSet, StageContext } from '../../run/context.ts'
import type { Engine, Row } from '../../services/engine/contract.ts'
import { never, openTestEngine, stageContext } from '../../testing/engine.ts'
import { controlTables, exportRows } from './index.ts'

const int: ColumnType = { kind: 'int', bits: 32 }
const text: ColumnType = { kind: 'text' }
const money: ColumnType = { kind: 'decimal', precision: 9, scale: 2 }
const column = (name: string, type: ColumnType = text): ColumnDef => ({ name, type, nullable: true, personal: false })

const person: EntityDef = {
  name: 'person',
  columns: [
    column('id', int),
    column('email'),
    column('phone'),
    column('city'),
    column('age', int),
    column('pay', money),
  ],
  key: ['id'],
  contributions: [],
  rules: [],
  cleanse: [],
  conflicts: [],
}

const hash: MaskDef = { kind: 'hash', secret: { kind: 'secret', from: 'env', name: 'correct horse' } }

function exportOf(masks: Readonly<Record<string, MaskDef>>, where: Expr | null = null, name = 'person_x'): ExportDef {
  const columns = person.columns.flatMap(other => {
    const mask = masks[other.name]
    if (mask?.kind === 'drop') return []
    return [mask === undefined || mask.kind === 'bucket' ? other : { ...other, type: text }]
  })
  const list = Object.entries(masks).map(([of, mask]) => ({ column: of, mask }))
  return { name, entity: 'person', columns, key: ['id'], masks: list, where }
}

const inPohang: Expr = {
  kind: 'call',
  fn: 'eq',
  args: [
    { kind: 'column', name: 'city', type: text },
    { kind: 'literal', value: 'Pohang', type: text },
  ],
  type: { kind: 'bool' },
}

describe('export', () => {
  let engine: Engine
  beforeEach(async () => {
    engine = await openTestEngine()
    await publish(async ({ tx }) => {
      for (const statement of controlTables) await tx.execute(statement)
      await tx.execute(sql`
        create table ods.person (id integer, email varchar, phone varchar, city varchar, age integer, pay decimal(9,2), _run bigint)`)
      await tx.execute(sql`insert into ods.person values
        (1, 'kim@x.kr', '010-1234-5678', 'Pohang', 34, 12.34, 1), (2, ${null}, '110', 'Busan', -3, -12.34, 1)`)
    })
  })
  afterEach(() => engine.close())

  function publish<T>(
    body: (ctx: StageContext) => Promise<T>,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    return engine.transaction(never, tx =>
      body(stageContext(tx, { secret: ref => new Secret(secrets[ref.name] ?? ref.name) })),
    )
  }

  const query = (statement: string): Promise<readonly Row[]> => publish(({ tx }) => tx.rows(rawSql(statement)))

  const whole: ChangeSet = {
    table: ident('ods', 'person'),
    scope: 'all',
    keys: null,
    inserted: 2,
    updated: 0,
    deleted: 0,
  }

  function exportAll(definition: ExportDef): Promise<ChangeSet> {
    return publish(ctx => exportRows(ctx, { definition, entity: person, changes: whole }))
  }

  /** Runs a statement on the ODS and exports the keys that it touched; gives the handed-on keys as text. */
  async function change(definition: ExportDef, statement: string, keys: Readonly<Record<number, 'i' | 'u' | 'd'>>) {
    return publish(async ctx => {
      await ctx.tx.execute(rawSql(statement))
      const given = ident('temp', 'given')
      await ctx.tx.execute(sql`create or replace temp table ${given} (id integer, "_op" varchar)`)
      const rows = Object.entries(keys).map(([id, op]) => sql`(${Number(id)}, ${op})`)
      await ctx.tx.execute(sql`insert into ${given} values ${joinSql(rows)}`)
      const changes = await exportRows(ctx, {
        definition,
        entity: person,
        changes: { ...whole, scope: 'delta', keys: given },
      })
      const handed =
        changes.keys === null ? [] : await ctx.tx.rows(sql`select id, "_op" as op from ${changes.keys} order by 1`)
      return { changes, handed: handed.map(row => `${row['op']} ${row['id']}`) }
    })
  }

  it('without masks and filter it is a view without control columns, and change sets pass through', async () => {
    const definition = exportOf({})
    expect(await exportAll(definition)).toMatchObject({ scope: 'all', inserted: 2 })
    expect(await query('select * from export.person_x where id = 1')).toEqual([
      { id: 1, email: 'kim@x.kr', phone: '010-1234-5678', city: 'Pohang', age: 34, pay: '12.34' },
    ])
    const { changes, handed } = await change(definition, 'update ods.person set age = 35 where id = 1', { 1: 'u' })
    expect(changes).toMatchObject({ table: ident('export', 'person_x'), scope: 'delta' })
    expect(handed).toEqual(['u 1'])
    expect(await query('select age from export.person_x where id = 1')).toEqual([{ age: 35 }])
  })

  it('masks each column in its way; a missing value stays missing', async () => {
    await exportAll(
      exportOf({
        email: { kind: 'redact', text: 'hidden' },
        phone: { kind: 'keepLast', count: 4 },
        city: { kind: 'drop' },
        age: { kind: 'bucket', width: 10 },
        pay: { kind: 'bucket', width: 5 },
      }),
    )
    expect(await query('select * exclude (_run) from export.person_x order by id')).toEqual([
      { id: 1, email: 'hidden', phone: '****5678', age: 30, pay: '10.00' },
      // Rounded down below zero too; a value that is no longer than what would be kept is hidden whole.
      { id: 2, email: null, phone: '****', age: -10, pay: '-15.00' },
    ])
  })

  it('M54: the same value and secret give the same token in every export', async () => {
    await exportAll(exportOf({ email: hash }))
    await exportAll(exportOf({ phone: hash, email: hash }, null, 'other_x'))
    const inner = createHash('sha256').update('correct horsekim@x.kr').digest('hex')
    const token = createHash('sha256').update(`correct horse${inner}`).digest('hex')
    const tokens =
      'select a.email as a, b.email as b from export.person_x a join export.other_x b using (id) order by id'
    expect(await query(tokens)).toEqual([
      { a: token, b: token },
      { a: null, b: null },
    ])
  })

  it('the secret stands in no table and in no error', async () => {
    await exportAll(exportOf({ email: hash }))
    const tables = await query(
      "select schema_name as s, table_name as t from duckdb_tables() where schema_name <> 'ods'",
    )
    for (const { s, t } of tables) {
      const [found] = await query(
        `select count(*) as n from "${s}"."${t}" x where cast(x as varchar) like '%correct horse%'`,
      )
      expect(found).toEqual({ n: 0n })
    }
    const broken = exportOf({ email: hash }, { kind: 'column', name: 'nowhere', type: text }, 'broken_x')
    const error = await exportAll(broken).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'ENGINE_SQL' })
    expect(`${String(error)} ${JSON.stringify(error)} ${String((error as Error).cause)}`).not.toContain('correct horse')
  })

  it('an empty secret is refused', async () => {
    const made = publish(
      ctx => exportRows(ctx, { definition: exportOf({ email: hash }), entity: person, changes: whole }),
      {
        'correct horse': '',
      },
    )
    await expect(made).rejects.toMatchObject({ code: 'MASK_SECRET_EMPTY' })
  })

  it('another secret makes everything anew, so that tokens still join', async () => {
    const definition = exportOf({ email: hash })
    await exportAll(definition)
    const none: ChangeSet = { ...whole, scope: 'delta', inserted: 0 }
    const before = await query('select email from export.person_x where id = 1')
    const again = (secrets: Readonly<Record<string, string>>) =>
      publish(ctx => exportRows(ctx, { definition, entity: person, changes: none }), secrets)
    expect(await again({})).toMatchObject({ scope: 'delta', keys: null })
    expect(await again({ 'correct horse': 'battery staple' })).toMatchObject({ scope: 'all', inserted: 2 })
    expect(await query('select email from export.person_x where id = 1')).not.toEqual(before)
  })

  it('a row that no longer passes the filter leaves, one that passes again comes back', async () => {
    const definition = exportOf({}, inPohang)
    await exportAll(definition)
    expect(await query('select id from export.person_x')).toEqual([{ id: 1 }])
    const left = await change(definition, "update ods.person set city = 'Seoul' where id = 1", { 1: 'u', 2: 'u' })
    expect(left).toMatchObject({ handed: ['d 1'], changes: { inserted: 0, updated: 0, deleted: 1 } })
    const back = await change(definition, "update ods.person set city = 'Pohang'", { 1: 'u', 2: 'u' })
    expect(back.handed).toEqual(['i 1', 'i 2'])
    const deleted = await change(definition, 'delete from ods.person where id = 2', { 2: 'd' })
    expect(deleted.handed).toEqual(['d 2'])
    expect(await query('select id from export.person_x')).toEqual([{ id: 1 }])
  })

  it('a change that masking hides is not handed on', async () => {
    const definition = exportOf({ city: { kind: 'drop' }, email: { kind: 'redact', text: 'hidden' } })
    await exportAll(definition)
    const { changes } = await change(
      definition,
      "update ods.person set city = 'Seoul', email = 'lee@x.kr' where id = 1",
      { 1: 'u' },
    )
    expect(changes).toMatchObject({ keys: null, inserted: 0, updated: 0, deleted: 0 })
  })

  it('a hashed key stays a key: changes carry its tokens, deletes too', async () => {
    const definition = exportOf({ id: hash })
    await exportAll(definition)
    const rows = await query('select id, city from export.person_x')
    const tokenOf = (city: string) => String(rows.find(row => row['city'] === city)?.['id'])
    const { handed } = await change(definition, 'delete from ods.person where id = 2', { 2: 'd' })
    expect(handed).toEqual([`d ${tokenOf('Busan')}`])
    expect(await query('select id from export.person_x')).toEqual([{ id: tokenOf('Pohang') }])
  })

  it.each([
    { kind: 'drop' },
    { kind: 'redact', text: 'x' },
    { kind: 'keepLast', count: 2 },
    { kind: 'bucket', width: 5 },
  ] as const)('a key masked so that rows would share it is refused: $kind', async mask => {
    await expect(exportAll(exportOf({ id: mask }))).rejects.toMatchObject({ code: 'EXPORT_KEY_MASKED' })
  })

  it('an export may become a table and a view again', async () => {
    const none: ChangeSet = { ...whole, scope: 'delta', inserted: 0 }
    await exportAll(exportOf({}))
    for (const definition of [exportOf({ city: { kind: 'drop' } }), exportOf({})]) {
      const changes = await publish(ctx =>
        exportRows(ctx, { definition, entity: person, changes: none, rebuild: true }),
      )
      expect(changes).toMatchObject({ scope: 'all', inserted: 2 })
      const [row] = await query('select * from export.person_x where id = 1')
      expect(Object.keys(row ?? {}).includes('city')).toBe(definition.masks.length === 0)
    }
  })
})
