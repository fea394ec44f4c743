import assert from 'node:assert/strict'
import { Secret } from '../../core/secret.ts'
import { ident, sql } from '../../core/sql.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { all, signal, t, type EnginePromise } from './conformance-support.ts'

/** All of a transaction or nothing, one at a time. */
export const transactionPromises: readonly EnginePromise[] = [
  {
    name: 'a transaction that throws leaves nothing behind, and its error comes out',
    check: async engine => {
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
      const broken = new Error('broken body')
      await assert.rejects(
        engine.transaction(signal, async tx => {
          await tx.execute(sql`insert into ${t} values (1)`)
          throw broken
        }),
        broken,
      )
      assert.deepEqual(await all(engine, 'select count(*) from t'), [[0n]])
    },
  },
  {
    name: 'tables made, renamed and dropped in a transaction that throws are as they were',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create table ${t} (a integer)`)
        await tx.execute(sql`insert into ${t} values (1)`)
      })
      await assert.rejects(
        engine.transaction(signal, async tx => {
          await tx.execute(sql`create table u (a integer)`)
          await tx.execute(sql`drop table ${t}`)
          await tx.execute(sql`alter table u rename to t`)
          assert.deepEqual(await tx.rows(sql`select * from ${t}`), [])
          throw new Error('broken body')
        }),
      )
      assert.deepEqual(await all(engine, 'select a from t'), [[1]])
      assert.equal(await engine.transaction(signal, tx => tx.exists(ident('u'))), false)
    },
  },
  {
    name: 'execute gives the number of changed rows',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        assert.equal(await tx.execute(sql`create table ${t} (a integer)`), 0)
        assert.equal(await tx.execute(sql`insert into ${t} values (1), (2), (3)`), 3)
        assert.equal(await tx.execute(sql`update ${t} set a = 0 where a > 1`), 2)
        assert.equal(await tx.execute(sql`delete from ${t} where a = 5`), 0)
      })
    },
  },
  {
    name: 'transactions that are asked for at once run one after the other',
    check: async engine => {
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
      const sizes = await Promise.all(
        [1, 2, 3].map(n =>
          engine.transaction(signal, async tx => {
            await tx.execute(sql`insert into ${t} values (${n})`)
            return (await tx.rows(sql`select * from ${t}`)).length
          }),
        ),
      )
      assert.deepEqual(sizes, [1, 2, 3])
    },
  },
  {
    name: 'a transaction inside a transaction is refused, not waited for',
    check: async engine => {
      await rejectsWith(
        'INTERNAL',
        engine.transaction(signal, () => engine.transaction(signal, async () => {})),
      )
      await rejectsWith(
        'INTERNAL',
        engine.transaction(signal, () => engine.checkpoint()),
      )
    },
  },
  {
    name: 'a transaction that was kept after its end is refused',
    check: async engine => {
      const kept = await engine.transaction(signal, async tx => ({ tx }))
      await rejectsWith('INTERNAL', kept.tx.execute(sql`select 1`))
    },
  },
  {
    name: 'a failed statement names its problem and its start, and the transaction can be rolled back',
    check: async engine => {
      const failing = engine.transaction(signal, tx => tx.execute(sql`select no_such_column from nowhere`))
      await assert.rejects(failing, { code: 'ENGINE_SQL', message: /select no_such_column/ })
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
    },
  },
  {
    name: 'a secret of a statement is in no error',
    check: async engine => {
      const secret = new Secret("canary-'7f3a")
      const failing = engine.transaction(signal, tx => tx.execute(sql`select cast(${secret} as integer)`))
      const error = await failing.then(
        () => assert.fail('the statement went through'),
        (thrown: unknown) => thrown,
      )
      for (let at = error; at instanceof Error; at = at.cause) {
        assert.ok(!`${at.message} ${at.stack} ${JSON.stringify(at)}`.includes('canary'), at.message)
      }
    },
  },
  {
    name: 'exists sees tables and views of this transaction, and no others',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create schema s`)
        await tx.execute(sql`create table s.t (a integer)`)
        await tx.execute(sql`create view s.v as select * from s.t`)
        await tx.execute(sql`create temporary table tt (a integer)`)
        const names = [
          ident('s', 't'),
          ident('s', 'v'),
          ident('temp', 'tt'),
          ident('s', 'tt'),
          ident('t'),
          ident('x', 't'),
        ]
        const found: boolean[] = []
        for (const name of names) found.push(await tx.exists(name))
        assert.deepEqual(found, [true, true, true, false, false, false])
      })
    },
  },
]
