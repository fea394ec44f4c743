import assert from 'node:assert/strict'
import { isNaruError } from '../../core/errors.ts'
import { ident, rawSql, sql } from '../../core/sql.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { numbers, signal, t, type EnginePromise } from './conformance-support.ts'
import type { Cell, Engine, PeopleView, Transaction } from './contract.ts'

const people = ident('ods', 'person')

async function makePeople(engine: Engine): Promise<void> {
  await engine.transaction(signal, async tx => {
    await tx.execute(sql`create schema ods`)
    await tx.execute(sql`create table ${people} (id integer, name varchar)`)
    await tx.execute(sql`insert into ${people} values (1, 'canary')`)
  })
}

async function readAll(given: Pick<Engine, 'query'>, text: string): Promise<readonly (readonly Cell[])[]> {
  const rows: (readonly Cell[])[] = []
  for await (const page of (await given.query(rawSql(text), signal)).pages) rows.push(...page)
  return rows
}

const hidesName = async (): Promise<PeopleView> => ({
  masked: [{ schema: 'ods', table: 'person', columns: ['name', 'added'] }],
  closed: ['ods'],
})

/** Every column that is there is hidden, so that one which comes is hidden when it comes. */
async function hidesAll(tx: Transaction): Promise<PeopleView> {
  const columns = (await tx.columns(people)).map(({ name }) => name).filter(name => name !== 'id')
  return { masked: [{ schema: 'ods', table: 'person', columns }], closed: [] }
}

/** What an engine that writes answers meanwhile. */
export const besidePromises: readonly EnginePromise[] = [
  {
    name: 'a reader beside a transaction sees what was committed, and waits for nothing',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create table ${t} (a integer)`)
        await tx.execute(sql`insert into ${t} values (1)`)
      })
      const count = (): Promise<unknown> => engine.read(signal, tx => tx.rows(sql`select count(*) as n from ${t}`))
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`insert into ${t} values (2)`)
        // Asked from outside of the transaction, while it is open.
        assert.deepEqual(await Promise.all([count(), count()]), [[{ n: 1n }], [{ n: 1n }]])
      })
      assert.deepEqual(await count(), [{ n: 2n }])
      assert.equal(await engine.read(signal, tx => tx.exists(t)), true)
    },
  },
  {
    name: 'a reader changes nothing, in whatever way it tries',
    check: async engine => {
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
      const tries: readonly ((tx: Transaction) => Promise<unknown>)[] = [
        tx => tx.execute(sql`insert into ${t} values (1)`),
        tx => tx.rows(sql`insert into ${t} values (1) returning a`),
        // Out of its own transaction, behind which nothing would hold it back.
        async tx => {
          await tx.rows(sql`commit`)
          await tx.rows(sql`insert into ${t} values (1) returning a`)
        },
      ]
      for (const attempt of tries) await rejectsWith('ENGINE_SQL', engine.read(signal, attempt))
      assert.deepEqual(await engine.read(signal, tx => tx.rows(sql`select a from ${t}`)), [])
    },
  },
  {
    name: 'people ask an engine that writes, and see its personal columns masked',
    check: async engine => {
      await makePeople(engine)
      const asked = engine.forPeople(hidesName)
      const ask = (): Promise<unknown> => readAll(asked, 'select id, name from ods.person order by id')
      assert.deepEqual(await ask(), [[1, '***']])
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`insert into ${people} values (2, 'second')`)
        assert.deepEqual(await ask(), [[1, '***']])
      })
      const both = [
        [1, '***'],
        [2, '***'],
      ]
      for (const rows of await Promise.all(Array.from({ length: 12 }, ask))) assert.deepEqual(rows, both)
      await assert.rejects(readAll(asked, 'delete from ods.person'), isNaruError)
    },
  },
  {
    name: 'a column or a table that came is masked or closed in the next query of people',
    check: async engine => {
      await makePeople(engine)
      const all = (given: Pick<Engine, 'query'>): Promise<unknown> =>
        readAll(given, 'select * from ods.person order by id')
      const [some, every] = [engine.forPeople(hidesName), engine.forPeople(hidesAll)]
      assert.deepEqual(await all(some), [[1, '***']])
      assert.deepEqual(await all(every), [[1, '***']])
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`alter table ${people} add column added varchar`)
        await tx.execute(sql`update ${people} set added = 'new'`)
        await tx.execute(sql`create table ${ident('ods', 'later')} as select 1 as a`)
      })
      assert.deepEqual(await all(some), [[1, '***', '***']])
      assert.deepEqual(await all(every), [[1, '***', '***']])
      await assert.rejects(readAll(some, 'select a from ods.later'))
      assert.deepEqual(await readAll(every, 'select a from ods.later'), [[1]])
    },
  },
  {
    name: 'people ask while tables come and go under a transaction that is open',
    check: async engine => {
      await makePeople(engine)
      const asked = engine.forPeople(hidesName)
      const ask = (): Promise<unknown> => readAll(asked, 'select id, name from ods.person')
      // Looks at everything that is attached, also at what people are asked in.
      const lookAround = (tx: Transaction): Promise<unknown> =>
        tx.rows(sql`select count(*) as n from information_schema.tables`)
      for (let n = 1; n <= 4; n++) {
        await ask()
        const [before, within] = [ident('ods', `before_${n}`), ident('ods', `within_${n}`)]
        await engine.transaction(signal, tx => tx.execute(sql`create table ${before} (a integer)`))
        await engine.transaction(signal, async tx => {
          await lookAround(tx)
          assert.deepEqual(await ask(), [[1, '***']])
          await lookAround(tx)
          await tx.execute(sql`create table ${within} (a integer)`)
          await tx.execute(sql`drop table ${before}`)
          assert.deepEqual(await ask(), [[1, '***']])
          await lookAround(tx)
          await tx.execute(sql`insert into ${within} values (1)`)
        })
        assert.deepEqual(await ask(), [[1, '***']])
      }
    },
  },
  {
    name: 'people ask while tables come and go all the time',
    check: async engine => {
      await makePeople(engine)
      // Many, so that the masks take a while to make.
      await engine.transaction(signal, async tx => {
        for (let n = 0; n < 25; n++) await tx.execute(sql`create table ${ident('ods', `other_${n}`)} (a integer)`)
      })
      const asked = engine.forPeople(hidesAll)
      const going = { isOver: false }
      const churn = (async () => {
        for (let n = 0; !going.isOver; n++) {
          const table = ident('ods', `passing_${n % 3}`)
          await engine.transaction(signal, tx => tx.execute(sql`create table ${table} (a integer)`))
          await engine.transaction(signal, tx => tx.execute(sql`drop table ${table}`))
        }
      })()
      try {
        for (let n = 0; n < 5; n++) {
          assert.deepEqual(await readAll(asked, 'select id, name from ods.person'), [[1, '***']])
        }
      } finally {
        going.isOver = true
        await churn
      }
    },
  },
  {
    name: 'a reader in the middle of its rows keeps nobody from writing, from a checkpoint, and from closing',
    check: async engine => {
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create table ${t} (a bigint)`)
        await tx.execute(sql`insert into ${t} select n from ${numbers(20_000)} as b`)
      })
      const result = await engine.query(sql`select a from ${t}`, signal)
      for await (const page of result.pages) {
        assert.ok(page.length > 0)
        await engine.transaction(signal, tx => tx.execute(sql`delete from ${t}`))
        assert.match(await engine.checkpoint(), /^(done|held)$/)
        break
      }
      assert.equal(await engine.checkpoint(), 'done')
      let closing: Promise<void> | null = null
      const open = engine.read(signal, async tx => {
        await tx.rows(sql`select 1 as a`)
        // Begun and not awaited: it waits for us.
        closing = engine.close()
        return tx.rows(sql`select 2 as a`)
      })
      await rejectsWith('CANCELLED', open)
      await closing
    },
  },
]
