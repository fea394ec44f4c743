import { describe, expect, it } from 'vitest'
import { defineConfig, duckdb, env, ods, pg, sqlite, t } from '../index.ts'

const columns = { moment: t.timestamptz(), what: t.text().null() }
const schema = { visit: { key: 'append', columns } } as const
const url = env('SHOP_URL')

describe('a table without a key', () => {
  it('is an append log of its changes when it is asked for, with columns of its own', () => {
    const shop = pg('shop', { url, schema, changes: { visit: { technique: 'log' } } })
    const visit = ods
      .entity('visit', { key: ['load', 'line'], columns: { load: t.big(), line: t.big(), what: t.text().null() } })
      .from(shop.visit, r => ({ load: r.log_load, line: r.log_line, what: r.what }))
    const project = defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [ods.export('visit', visit)] })
    expect(project.sources[0]?.tables[0]).toMatchObject({
      append: true,
      key: ['log_load', 'log_line'],
      columns: ['moment', 'what', 'log_load', 'log_line', 'log_op', 'log_at'].map(name => ({ name })),
    })
  })

  it('takes * where that is the log', () => {
    const shop = pg('shop', { url, schema, changes: { '*': { technique: 'log' } } })
    expect(defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [shop] }).sources[0]?.tables).toHaveLength(1)
  })

  it('is refused by every technique that is no log, on the word that is wrong', () => {
    // @ts-expect-error the technique is not assignable to "log"
    const by = (technique: 'trigger' | 'full') => () => pg('shop', { url, schema, changes: { visit: { technique } } })
    expect(by('trigger')).toThrow(/no key \(key: 'append'\).*"trigger" cannot tell/)
    expect(by('full')).toThrow(/use the technique "log"/)
    expect(() => pg('shop', { url, schema })).toThrow(/"full" cannot tell which of its rows are new/)
    // @ts-expect-error SQLite has no log
    expect(() => sqlite('shop', { path: 'x.db', schema, changes: { visit: { technique: 'log' } } })).toThrow(/log/)
    expect(() => sqlite('shop', { path: 'x.db', schema })).toThrow(/its source has no technique "log"/)
  })

  it('is refused where it has a column of the name of one of the log', () => {
    const taken = { visit: { key: 'append', columns: { ...columns, log_op: t.text() } } } as const
    expect(() => pg('shop', { url, schema: taken, changes: { visit: { technique: 'log' } } })).toThrow(/log_op/)
  })

  it('is refused under another word', () => {
    // @ts-expect-error there is no such word
    expect(() => pg('shop', { url, schema: { visit: { key: 'none', columns } } })).toThrow(/or 'append', not "none"/)
  })

  it('is refused without the word, with both ways out', () => {
    const shop = pg('shop', { url, schema: { visit: { key: [], columns } } })
    const bare = () => defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [shop] })
    expect(bare).toThrow(/has no key; write the columns .* or key: 'append'/)
  })
})
