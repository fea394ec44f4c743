import assert from 'node:assert/strict'
import { ident, rawSql, sql } from '../../core/sql.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { all, numbers, signal, t, type EnginePromise } from './conformance-support.ts'
import type { Cell } from './contract.ts'

/** Names that would be something else when they were pasted. */
const hostileNames = ['x"; drop table t; --', 'a.b', 'select', ' ', '한글', "it's", '\\', 'a\nb', '%s', 'x'.repeat(60)]

/** Small results, and text that must stay text. */
export const queryPromises: readonly EnginePromise[] = [
  {
    name: 'hostile names stay names',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        for (const name of hostileNames) {
          await tx.execute(sql`create table ${ident(name)} (${ident(name)} integer)`)
          await tx.execute(sql`insert into ${ident(name)} (${ident(name)}) values (1)`)
          assert.deepEqual(await tx.rows(sql`select ${ident(name)} from ${ident(name)}`), [{ [name]: 1 }])
          assert.equal(await tx.exists(ident(name)), true)
        }
      })
    },
  },
  {
    name: 'hostile values stay values',
    check: async engine => {
      const values = ["'; drop table t; --", "''", '\\', '$1', '%', '${x}', '--', '👩🏽‍🚀', '']
      await engine.transaction(signal, async tx => {
        for (const value of values) assert.deepEqual(await tx.rows(sql`select ${value} as v`), [{ v: value }])
        assert.deepEqual(await tx.rows(sql`select 1 -${-1} as a, ${true} as b, ${null} as c`), [
          { a: 2, b: true, c: null },
        ])
        assert.deepEqual(await tx.rows(sql`select cast(${2n ** 63n - 1n} as bigint) as v`), [{ v: 2n ** 63n - 1n }])
      })
    },
  },
  {
    name: 'a result that is too large for rows is refused',
    check: async engine => {
      const many = sql`select a.n from (select 1 as n union all select 2) as a, ${numbers(60_000)} as b`
      await rejectsWith(
        'ENGINE_RESULT_TOO_LARGE',
        engine.transaction(signal, tx => tx.rows(many)),
      )
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
    },
  },
  {
    name: 'a query gives its columns and its rows in pages of at most 2,048',
    check: async engine => {
      const result = await engine.query(sql`select n, 'x' as x from ${numbers(5000)} as b order by n`, signal)
      assert.deepEqual(
        result.columns.map(it => it.name),
        ['n', 'x'],
      )
      let rows = 0
      for await (const page of result.pages) {
        assert.ok(page.length > 0 && page.length <= 2048)
        assert.equal(Number(page[0]?.[0]), rows + 1)
        rows += page.length
      }
      assert.equal(rows, 5000)
    },
  },
  {
    name: 'a query sees what was committed when it began, and changes nothing',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create table ${t} (a integer)`)
        await tx.execute(sql`insert into ${t} select n from ${numbers(5000)} as b`)
      })
      const result = await engine.query(sql`select count(*) from ${t}, ${numbers(3)} as b`, signal)
      await engine.transaction(signal, tx => tx.execute(sql`delete from ${t}`))
      const counts: Cell[] = []
      for await (const page of result.pages) counts.push(...page.map(row => row[0] as Cell))
      assert.deepEqual(counts, [15_000n])
      await rejectsWith('ENGINE_SQL', all(engine, 'insert into t values (1)'))
      await rejectsWith('ENGINE_SQL', all(engine, 'drop table t'))
      assert.deepEqual(await all(engine, 'select count(*) from t'), [[0n]])
    },
  },
  {
    name: 'a query that fails behind its first rows ends with an error, and never as if these were all',
    check: async engine => {
      const failing = `select cast(case when n < 200000 then '1' else 'x' end as integer) as a from _numbers`
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create table _numbers (n bigint)`)
        await tx.execute(sql`insert into _numbers select n from ${numbers(200_000)} as b order by n`)
      })
      await rejectsWith('ENGINE_SQL', all(engine, failing))
      await rejectsWith(
        'ENGINE_SQL',
        engine.transaction(signal, tx => tx.rows(sql`${rawSql(failing)} where n > 150000`)),
      )
      const stop = new AbortController()
      const result = await engine.query(sql`select n from ${numbers(1_000_000)} as b`, stop.signal)
      const cancelled = (async () => {
        for await (const page of result.pages) if (page.length > 0) stop.abort()
      })()
      await rejectsWith('CANCELLED', cancelled)
    },
  },
  {
    name: 'a query that is left in the middle lets the next one begin, and the engine close',
    check: async engine => {
      for (let i = 0; i < 3; i++) {
        const result = await engine.query(sql`select n from ${numbers(500_000)} as b`, signal)
        for await (const page of result.pages) if (page.length > 0) break
      }
      const untouched = await engine.query(sql`select n from ${numbers(500_000)} as b`, signal)
      assert.equal(untouched.columns.length, 1)
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
      await engine.close()
    },
  },
]
