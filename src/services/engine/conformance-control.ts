import assert from 'node:assert/strict'
import { sql } from '../../core/sql.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { all, numbers, signal, t, type EnginePromise } from './conformance-support.ts'

/** Stopping, watching, checkpointing, closing. */
export const controlPromises: readonly EnginePromise[] = [
  {
    name: 'an abort ends the running statement, rolls back, and says so',
    check: async engine => {
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a bigint)`))
      const cancel = new AbortController()
      const running = engine.transaction(cancel.signal, async tx => {
        await tx.execute(sql`insert into ${t} values (1)`)
        const endless = tx.execute(
          sql`insert into ${t} select sum(a.n * b.n) from ${numbers(1_000_000)} as a, ${numbers(1_000_000)} as b`,
        )
        cancel.abort()
        await endless
      })
      await rejectsWith('CANCELLED', running)
      assert.deepEqual(await all(engine, 'select count(*) from t'), [[0n]])
    },
  },
  {
    name: 'an abort before the commit commits nothing',
    check: async engine => {
      const cancel = new AbortController()
      const running = engine.transaction(cancel.signal, async tx => {
        await tx.execute(sql`create table ${t} (a integer)`)
        cancel.abort()
      })
      await rejectsWith('CANCELLED', running)
      assert.equal(await engine.transaction(signal, tx => tx.exists(t)), false)
    },
  },
  {
    name: 'a checkpoint may come at any time between transactions',
    check: async engine => {
      await engine.checkpoint()
      await engine.transaction(signal, tx => tx.execute(sql`create table ${t} (a integer)`))
      const open = await engine.query(sql`select n from ${numbers(100_000)} as b`, signal)
      await engine.checkpoint()
      for await (const page of open.pages) assert.ok(page.length > 0)
      await engine.checkpoint()
    },
  },
  {
    name: 'after close every method says so, and a second close is harmless',
    check: async engine => {
      await engine.close()
      await rejectsWith(
        'ENGINE_CLOSED',
        engine.transaction(signal, async () => {}),
      )
      await rejectsWith('ENGINE_CLOSED', engine.query(sql`select 1`, signal))
      await rejectsWith('ENGINE_CLOSED', engine.checkpoint())
      await engine.close()
    },
  },
]
