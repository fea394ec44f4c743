import { expect, onTestFinished, test } from 'vitest'
import { openForReading } from '../../src/app/read.ts'
import { rawSql } from '../../src/core/sql.ts'
import { sqlite, t } from '../../src/index.ts'
import { makeStore } from '../support/store.ts'

test('a column that a contract took in is masked when people query, until the config describes it', async () => {
  const columns = { id: t.big(), email: t.text().pii() }
  const models = (
    path: string,
    more = {},
  ): Parameters<typeof makeStore>[1] extends (s: string) => infer R ? R : never => ({
    shop: sqlite('shop', {
      path,
      schema: { item: { key: ['id'], columns: { ...columns, ...more } } },
      contract: 'evolve',
    }),
  })
  const store = await makeStore(
    `create table item (id integer primary key not null, email text not null, phone text);
     insert into item values (1, 'a@b.c', '010')`,
    path => models(path),
  )
  onTestFinished(() => store.remove())
  await store.run()
  const asked = async (): Promise<unknown> => {
    const engine = await openForReading(store.open(), new AbortController().signal, 'people')
    try {
      const result = await engine.query(
        rawSql('select email, phone from staging.shop_item'),
        new AbortController().signal,
      )
      const rows: unknown[] = []
      for await (const page of result.pages) rows.push(...page)
      return rows
    } finally {
      await engine.close()
    }
  }
  expect(await asked()).toEqual([['***', '***']])
  store.configure(models(store.source, { phone: t.text().null() }))
  await store.run()
  expect(await asked()).toEqual([['***', '010']])
  expect(await store.rows('select * from naru."column"')).toEqual([])
})
