import { describe, expect, it } from 'vitest'
import * as naru from '../index.ts'
import type { Project } from './model.ts'
import { hashOf } from './hash.ts'

const { t, ods, dw, rule, mask, prefer, env, none } = naru

const shop = {
  product: {
    key: ['sku'],
    columns: { sku: t.text(), title: t.text().null(), price: t.decimal(9, 2), at: t.timestamp() },
  },
  buyer: {
    key: ['id'],
    columns: { id: t.int(), name: t.text().pii(), nick: t.text(), seen: t.timestamptz(), at: t.timestamp() },
  },
  log: { key: ['id'], columns: { id: t.int() } },
} as const

const engine = naru.duckdb({ path: 'x.duckdb' })

function web(changes: object = {}) {
  return naru.pg('web', { url: env('URL'), schema: shop, changes })
}

function product(source = web()) {
  return ods
    .entity('product', { key: 'sku', columns: { sku: t.text(), title: t.text().null(), price: t.decimal(9, 2) } })
    .from(source.product, r => ({ sku: r.sku, title: r.title, price: r.price }))
}

function buyer() {
  return ods
    .entity('buyer', { key: 'id', columns: { id: t.int(), name: t.text().pii() } })
    .from(web().buyer, r => ({ id: r.id, name: r.name }))
}

function build(...models: Parameters<typeof naru.defineConfig>[0]['models'] & readonly unknown[]): Project {
  return naru.defineConfig({ engine, models })
}

describe('defineConfig', () => {
  it('takes along what the models are made from, what is used first before what uses it', () => {
    const x = ods.export('product', product())
    const d = dw.dimension('product', x)
    const f = dw.fact('price', x, { grain: 'sku', at: 'price' as never, dims: { product: d.by('sku') } })
    const s = dw.summary('by_title', f, { by: r => ({ title: r.product.title }), get: r => ({ n: r.count() }) })
    const project = build(s)
    expect(project.sources.map(source => source.tables.map(table => table.name))).toEqual([['product']])
    expect(
      [project.entities, project.exports, project.dimensions, project.facts, project.summaries].map(
        list => list.length,
      ),
    ).toEqual([1, 1, 1, 1, 1])
  })

  it('stages a table that nothing uses when it or its source is named', () => {
    const source = web()
    const names = (project: Project) => project.sources[0]?.tables.map(table => table.name)
    expect(names(build(product(source)))).toEqual(['product'])
    expect(names(build(product(source), source.log))).toEqual(['product', 'log'])
    expect(names(build(source))).toEqual(['product', 'buyer', 'log'])
  })

  it('a table that a rule refers to comes along', () => {
    const source = web()
    const entity = product(source).rules({
      sku: rule.ref(source.product),
      title: rule.ref(
        ods.entity('word', { key: 'w', columns: { w: t.text() } }).from(source.product, r => ({ w: r.sku })),
      ),
    })
    expect(build(entity).entities.map(e => e.name)).toEqual(['word', 'product'])
  })

  it('gives frozen data, equal for equal configurations', () => {
    const first = build(product())
    expect(Object.isFrozen(first.entities[0]?.columns[0]?.type)).toBe(true)
    expect(hashOf(build(product()))).toBe(hashOf(first))
    expect(hashOf({ a: 1, b: [2n, null] })).toBe(hashOf({ b: [2n, null], a: 1 }))
    expect(hashOf({ a: '1' })).not.toBe(hashOf({ a: 1 }))
  })

  it.each<[string, () => unknown, string]>([
    [
      'two entities of one name',
      () => build(product(), product().rules({ sku: rule.required() })),
      'there are two different entities called "product"; each method gives a new entity',
    ],
    [
      'two sources of one name',
      () =>
        build(
          product(),
          ods
            .entity('x', { key: 'sku', columns: { sku: t.text() } })
            .from(naru.pg('web', { url: env('OTHER'), schema: shop }).product, r => ({ sku: r.sku })),
        ),
      'two different sources called "web"',
    ],
    [
      'an entity without a source',
      () => build(ods.entity('x', { key: 'a', columns: { a: t.text() } })),
      'entity x has no source',
    ],
    [
      'an entity with matches only',
      () =>
        build(
          ods
            .entity('x', { key: 'a', columns: { a: t.text(), b: t.text() } })
            .match(web().product, r => ({ b: r.sku }), { compare: { b: ['b'] } }),
        ),
      'has only matches',
    ],
    [
      'a table without a key',
      () => build(naru.sqlite('s', { path: 'x', schema: { v: { key: [], columns: { a: t.text() } } } }).v),
      'table s.v has no key',
    ],
    [
      'tables that would be staged as one',
      () =>
        build(
          naru.sqlite('a', { path: 'x', schema: { b_c: { key: ['a'], columns: { a: t.text() } } } }),
          naru.sqlite('a_b', { path: 'x', schema: { c: { key: ['a'], columns: { a: t.text() } } } }),
        ),
      'a.b_c and a_b.c would both be staged as a_b_c',
    ],
    [
      'a name with capitals',
      () => ods.entity('Product', { key: 'a', columns: { a: t.text() } }),
      'the entity name "Product" must be lower-case',
    ],
    ['a name over 40 characters', () => dw.calendar('d'.repeat(41)), 'has 41 characters; 40 is the most'],
    ['something that is no model', () => build('x' as never), 'is nothing that a builder made'],
  ])('%s is refused', (_, make, problem) => {
    expect(make).toThrow(problem)
  })
})

describe('sources', () => {
  const changesOf = (changes: object) =>
    Object.fromEntries(build(web(changes)).sources[0]?.tables.map(table => [table.name, table.change]) ?? [])

  it('each table has its own technique; * fits where its column is', () => {
    const made = changesOf({
      product: { technique: 'full' },
      '*': { technique: 'timestamp', column: 'at', deletes: { sweep: '2h' }, lag: '10m' },
    })
    const timestamp = {
      technique: 'timestamp',
      column: 'at',
      lagMs: 600_000,
      deletes: { kind: 'sweep', everyMs: 7_200_000 },
    }
    expect(made).toEqual({ product: { technique: 'full' }, buyer: timestamp, log: { technique: 'full' } })
  })

  it('a table that is not named is read in full', () => {
    expect(changesOf({})['product']).toEqual({ technique: 'full' })
  })

  it.each<[string, object, string]>([
    [
      'a blind technique without a policy',
      { product: { technique: 'timestamp', column: 'at' } },
      "say deletes: 'keep' or { sweep: '1d' }",
    ],
    ['a full read with a policy', { product: { technique: 'full', deletes: 'keep' } }, 'there is no option "deletes"'],
    [
      'a column that is no time',
      { product: { technique: 'timestamp', column: 'sku', deletes: 'keep' } },
      '"sku" is none',
    ],
    [
      '* with a column of no table',
      { '*': { technique: 'timestamp', column: 'nope', deletes: 'keep' } },
      'no table has a column "nope"',
    ],
    ['an unknown technique', { product: { technique: 'magic' } }, 'there is no technique "magic"'],
    ['an unknown table', { prodct: { technique: 'full' } }, 'there is no option "prodct"'],
  ])('%s is refused', (_, changes, problem) => {
    expect(() => web(changes)).toThrow(problem)
  })

  it('files are one table for each glob', () => {
    const drop = naru.files('drop', {
      folder: 'in',
      tables: {
        order: {
          glob: 'o_*.csv',
          key: ['no', 'line'],
          scope: 'delta',
          columns: { no: t.text(), line: t.int() },
          encoding: 'cp949',
        },
      },
    })
    expect(build(drop.order).sources[0]).toMatchObject({
      adapter: 'files',
      options: { folder: 'in' },
      tables: [
        {
          remote: 'o_*.csv',
          key: ['no', 'line'],
          change: { technique: 'files', scope: 'delta', encoding: 'cp949', checksum: 'none' },
        },
      ],
    })
  })

  const drop = (more: object, glob = 'o_*.csv'): ReturnType<typeof build>['sources'][0] | undefined => {
    const columns = { no: t.text(), amount: t.decimal(9, 2) }
    const order = { glob, key: 'no', scope: 'delta', columns, ...more } as const
    return build(naru.files('drop', { folder: 'in', tables: { order } }).order).sources[0]
  }

  it.each([
    ['o_*.csv', 'csv'],
    ['o.txt', 'csv'],
    ['dt=*/o.parquet', 'parquet'],
    ['o.jsonl.gz', 'ndjson'],
    ['o.json.zip', 'json'],
    ['O.AVRO', 'avro'],
  ])('the format of %s is %s unless it is said', (glob, kind) => {
    expect(drop({}, glob)).toMatchObject({ tables: [{ change: { format: { kind } } }] })
  })

  it.each([
    [{ format: 'xml' }, 'the format "xml" is not one of'],
    [{ format: { kind: 'csv', delimiter: '||' } }, 'the delimiter is one ASCII character'],
    [{ format: { kind: 'csv', delimeter: ';' } }, 'there is no option "delimeter"'],
    [{ format: { kind: 'csv', delimiter: '"', quote: '"' } }, 'delimiter and quote are the same'],
    [{ format: { kind: 'fixed', widths: { no: 3 } } }, 'column "amount" has no width'],
    [{ format: { kind: 'fixed', widths: { no: 3, amount: 0 } } }, 'the width of amount is a whole number'],
    [{ format: { kind: 'fixed', widths: { no: 3, amount: 4, x: 2 } } }, 'a field to pass over begins with _'],
    [{ trailer: /^T;(\d+)$/ }, 'the trailer needs a group for the number of rows'],
    [{ trailer: /^T;(?<count>\d+);(?<amuont>.*)$/ }, 'the trailer has the group "amuont", which is no column'],
  ])('%j of a file table is refused', (more, problem) => {
    expect(() => drop(more)).toThrow(problem)
  })

  it('files need one place', () => {
    expect(() => naru.files('drop', { tables: {} } as never)).toThrow('takes a url or a folder')
  })
})

describe('entities', () => {
  const defOf = (entity: ReturnType<typeof product>) => build(entity).entities[0]

  it('rules have stable ids, numbered when they repeat', () => {
    const entity = product().rules({
      price: [rule.range('0', null).limit('1%'), rule.range(null, '99').warn().limit(5)],
      '*': e => [rule.unique(e.sku, e.title), rule.check(e.price.gt(0)).block()],
    })
    expect(defOf(entity)?.rules.map(({ id, severity, limit }) => [id, severity, limit])).toEqual([
      ['price.range', 'quarantine', { share: 0.01 }],
      ['price.range.2', 'warn', { rows: 5 }],
      ['sku+title.unique', 'quarantine', null],
      ['price.expression', 'block', null],
    ])
  })

  it('values are widened by a cast, never rounded', () => {
    const columns = { sku: t.text(), price: t.decimal(9, 2) }
    const entity = ods.entity('e', { key: 'sku', columns })
    const source = web()
    const of = build(entity.from(source.product, r => ({ sku: r.sku, price: r.price.round(1) }))).entities[0]
    expect(of?.contributions[0]?.map[1]?.expr).toMatchObject({ kind: 'cast', type: { precision: 9, scale: 2 } })
    expect(() => entity.from(source.product, r => ({ sku: r.sku, price: r.price.multiply('1.5') }))).toThrow(
      'would be rounded: add .round(2)',
    )
  })

  it('none is a typed NULL', () => {
    const entity = ods.entity('e', { key: 'sku', columns: { sku: t.text(), price: t.decimal(9, 2).null() } })
    const made = build(entity.from(web().product, r => ({ sku: r.sku, price: none }))).entities[0]
    expect(made?.contributions[0]?.map[1]?.expr).toEqual({
      kind: 'literal',
      value: null,
      type: { kind: 'decimal', precision: 9, scale: 2 },
    })
  })

  it('resolve looks up by the very values of the match', () => {
    const source = web()
    const golden = product(source).match(source.buyer, r => ({ title: r.nick.upper() }), {
      compare: { title: ['title', 'sku'] },
      support: ['title'],
      as: 'people',
    })
    const other = ods
      .entity('visit', { key: 'id', columns: { id: t.int(), sku: t.text().null() } })
      .from(source.buyer, r => ({ id: r.id, sku: golden.resolve('people', r) }))
    const project = build(other, golden)
    const match = project.entities.find(entity => entity.name === 'product')?.contributions[1]
    const resolved = project.entities.find(entity => entity.name === 'visit')?.contributions[0]?.map[1]?.expr
    expect(match?.match).toEqual({
      compare: [{ column: 'title', against: ['title', 'sku'] }],
      support: ['title'],
      threshold: 0.65,
    })
    expect(resolved).toMatchObject({
      kind: 'resolve',
      entity: 'product',
      contributor: 'people',
      type: { kind: 'text' },
    })
    expect(resolved?.kind === 'resolve' && resolved.by).toEqual([{ column: 'title', value: match?.map[0]?.expr }])
    expect(() =>
      ods
        .entity('v', { key: 'id', columns: { id: t.int(), sku: t.text().null() } })
        .from(source.log, r => ({ id: r.id, sku: golden.resolve('people', r as never) })),
    ).toThrow('takes a row of web.buyer')
  })

  it.each<[string, () => unknown, string]>([
    [
      'two contributors of one name',
      () => product().from(web().product, r => ({ sku: r.sku, title: none, price: r.price })),
      'two contributors called "web"',
    ],
    [
      'a missing column',
      () => product().from(web().product, ((r: { sku: unknown }) => ({ sku: r.sku })) as never, { as: 'b' }),
      'gives no product.title; write none',
    ],
    [
      'a nullable key',
      () => ods.entity('e', { key: 'a', columns: { a: t.text().null() } }),
      'the key column e.a may not be NULL',
    ],
    [
      'a repair twice',
      () =>
        product()
          .cleanse({ sku: e => e.sku.trim() })
          .cleanse({ sku: e => e.sku.upper() }),
      'product.sku is cleansed twice',
    ],
    ['a control column', () => ods.entity('e', { key: '_a', columns: { _a: t.text() } }), 'is reserved'],
    [
      'a conflict rule with a stranger',
      () => product().conflicts({ '*': prefer.first('crm' as never) }),
      '"crm" gives nothing here',
    ],
    [
      'a rule of one column for rows',
      () => product().rules({ '*': () => rule.required() as never }),
      'belongs under a column',
    ],
    ['a share over 100 %', () => rule.required().limit('101%'), 'give a number of rows, or a share'],
  ])('%s is refused', (_, make, problem) => {
    expect(make).toThrow(problem)
  })
})

describe('exports', () => {
  it('have the columns that masking leaves', () => {
    const made = ods.export('b', buyer(), { mask: { name: mask.hash(env('K')) }, where: e => e.id.gt(0) })
    expect(build(made).exports[0]).toMatchObject({
      columns: [{ name: 'id' }, { name: 'name', type: { kind: 'text' }, personal: false }],
      masks: [{ column: 'name', mask: { kind: 'hash', secret: { from: 'env', name: 'K' } } }],
      where: { kind: 'call', fn: 'gt' },
    })
    expect(
      build(ods.export('b', buyer(), { mask: { name: mask.drop() } })).exports[0]?.columns.map(c => c.name),
    ).toEqual(['id'])
  })

  it.each<[string, () => unknown, string]>([
    ['a bare personal column', () => ods.export('b', buyer() as never), 'the personal column name has no mask'],
    [
      'a dropped key',
      () => ods.export('b', buyer(), { mask: { name: mask.drop(), id: mask.drop() as never } }),
      'the key id can only be hashed',
    ],
    ['a secret as text', () => mask.hash('secret' as never), "takes its key as env('NAME')"],
  ])('%s is refused', (_, make, problem) => {
    expect(make).toThrow(problem)
  })
})

describe('the warehouse', () => {
  const x = ods.export('product', product())
  const d = dw.dimension('product', x)

  it.each<[string, () => unknown, string]>([
    [
      'a grain that is not the whole key',
      () => dw.fact('f', x, { grain: 'title', at: 'price' as never, dims: {} }),
      'without sku in its grain',
    ],
    ['a versioned key', () => dw.dimension('p', x, { type2: ['sku'] }), 'the key sku tells its members apart'],
    [
      'an expression over two tables',
      () =>
        dw.summary('s', dw.fact('f', x, { grain: 'sku', at: 'price' as never, dims: { p: d.by('sku') } }), {
          by: f => ({ a: f.p.title.concat(f.p.sku) }),
          get: f => ({ n: f.price.eq(f.p.price).count() }),
        }),
      'must read the fact alone, or one of its dimensions alone',
    ],
    [
      'a summary without a group',
      () =>
        dw.summary('s', dw.fact('f', x, { grain: 'sku', at: 'price' as never, dims: {} }), {
          by: () => ({}),
          get: f => ({ n: f.count() }),
        }),
      'at least one column in by',
    ],
  ])('%s is refused', (_, make, problem) => {
    expect(make).toThrow(problem)
  })

  it('a fact keeps its grain, its time, and what is no foreign key', () => {
    const f = dw.fact('f', x, { grain: 'sku', at: 'price' as never, dims: { p: d.by('sku') } })
    expect(build(f).facts[0]?.columns.map(column => column.name)).toEqual(['sku', 'title', 'price'])
  })
})
