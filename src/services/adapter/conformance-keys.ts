import assert from 'node:assert/strict'
import { isNaruError } from '../../core/errors.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { batches, batchesOf, fill, goods, has, withGoods, type WritesPromise } from './conformance-goods.ts'
import { never } from './conformance-support.ts'

/** A table like `goods` that lets a key be NULL, or be there twice. */
const KEYLESS = 'create table goods (id bigint, name varchar(90), price decimal(12,2))'

/** How rows are found by their keys, and what is said of those that are not. */
export const keysPromises: readonly WritesPromise[] = [
  {
    name: 'insert names the keys that are there already, and changes nothing',
    check: system =>
      withGoods(system, fill(5), async ({ writer, rows }) => {
        const one = await writer('insert')
        await one.stage('a', batches([7n, 'new', 2n], [1n, 'clash', 2n], [4n, 'clash', 2n]), never)
        await assert.rejects(one.publish({ missed: 'refuse' }, never), error => {
          assert.ok(isNaruError(error, 'WRITE_KEYS_TAKEN'), String(error))
          assert.match(error.message, /^2 rows for "goods" .*\(id\).*\b1\b.*\b4\b/)
          assert.match(error.fix, /--mode upsert/)
          return true
        })
        assert.equal((await rows()).length, 5)
        await one.discard(never)
      }),
  },
  {
    name: 'a row that shares another value which the table keeps unique is refused by what the system says',
    check: system =>
      withGoods(system, fill(2), async ({ writer, rows, adapter }) => {
        await system.execute('create unique index goods_price on goods (price)')
        const before = await rows()
        const modes = ['insert', 'upsert', 'replace'] as const
        for (const mode of modes.filter(it => it !== 'upsert' || adapter.writes?.can.modes.includes(it))) {
          const one = await writer(mode, `unique_${mode}`)
          await one.stage('a', batches([7n, 'a', 2n], [8n, 'b', 2n]), never)
          await rejectsWith('WRITE_NOT_UNIQUE', one.publish({ missed: 'report' }, never), 'goods')
          assert.deepEqual(await rows(), before)
          await one.discard(never)
        }
      }),
  },
  {
    name: 'an update that finds no row, or many, is refused with nothing changed, or counted',
    when: has('update'),
    check: system =>
      withGoods(system, [...fill(2), [9n, 'name 1', 9n]], async ({ writer, rows, write }) => {
        const byName = { key: ['name'], columns: goods.columns.slice(1) }
        const before = await rows()
        const refused = await writer('update', 'missing', byName)
        await refused.stage('a', batches(['name 1', 5n], ['name 2', 5n], ['nobody', 5n]), never)
        await rejectsWith('WRITE_KEYS_MISSED', refused.publish({ missed: 'refuse' }, never), 'nobody')
        assert.deepEqual(await rows(), before)
        await refused.discard(never)
        const given = { ...byName, missed: 'report' } as const
        const written = await write(
          'update',
          [
            ['name 2', 7n],
            ['nobody', 7n],
            ['name 1', 7n],
          ],
          given,
        )
        const { missedNone, missedMany, updated } = written
        assert.deepEqual([missedNone, missedMany, updated], [1n, 1n, 3n])
        assert.deepEqual(
          (await rows()).map(row => row[2]),
          ['0.07', '0.07', '0.07'],
        )
      }),
  },
  {
    name: 'rows that share a key are refused in every mode that has one',
    check: system =>
      withGoods(system, fill(2), async ({ writer, rows, adapter }) => {
        const before = await rows()
        const modes = ['upsert', 'update', 'replace', 'insert'] as const
        for (const mode of modes.filter(
          it => it === 'replace' || it === 'insert' || adapter.writes?.can.modes.includes(it),
        )) {
          const one = await writer(mode, `twice_${mode}`)
          await one.stage('a', batches([1n, 'a', 1n]), never)
          await one.stage('b', batches([1n, 'b', 1n]), never)
          await rejectsWith('WRITE_KEY_REPEATED', one.publish({ missed: 'report' }, never), '1')
          assert.deepEqual(await rows(), before)
          await one.discard(never)
        }
      }),
  },
  {
    name: 'a key that finds many rows is refused by upsert as well, or counted',
    when: has('upsert'),
    check: system =>
      withGoods(system, null, async ({ writer, write, rows }) => {
        await system.execute(KEYLESS)
        await write('insert', [[1n, 'a', 1n], [1n, 'b', 2n], [2n, 'c', 3n]], { key: [] }) // prettier-ignore
        const before = await rows()
        const given = [[1n, 'new', 5n], [2n, 'c', 3n], [3n, 'd', 4n]] as const // prettier-ignore
        const refused = await writer('upsert', 'many')
        await refused.stage('a', batches(...given), never)
        await rejectsWith('WRITE_KEYS_MISSED', refused.publish({ missed: 'refuse' }, never), '1')
        assert.deepEqual(await rows(), before)
        await refused.discard(never)
        const written = await write('upsert', given, { missed: 'report' })
        assert.deepEqual(written, { inserted: 1n, updated: 3n, deleted: 0n, missedNone: 0n, missedMany: 1n })
        assert.deepEqual(
          (await rows()).map(row => row[1]),
          ['new', 'new', 'c', 'd'],
        )
      }),
  },
  {
    name: 'NULL is no key: no row is found by it, in a table that is made none has it, and two of them are not the same',
    check: system =>
      withGoods(system, null, async ({ writer, write, rows, adapter }) => {
        const all = goods.columns.map(column => ({ ...column, nullable: true }))
        const nobody = [[5n, 'fine', 1n], [null, 'nobody', 1n]] as const // prettier-ignore
        const refuse = async (mode: 'insert' | 'replace' | 'update' | 'upsert' | 'delete'): Promise<void> => {
          const columns = mode === 'delete' ? all.slice(0, 1) : all
          const one = await writer(mode, `null_${mode}`, { columns })
          await rejectsWith('WRITE_VALUE', one.stage('a', batchesOf({ columns }, nobody), never), '"id"')
          await one.discard(never)
        }
        await refuse('insert')
        await refuse('replace')
        await system.execute('drop table if exists goods')
        await system.execute(KEYLESS)
        for (const mode of ['update', 'upsert', 'delete'] as const) {
          if (adapter.writes?.can.modes.includes(mode) === true) await refuse(mode)
        }
        const two = [[null, 'a', 1n], [null, 'a', 1n]] as const // prettier-ignore
        assert.equal((await write('insert', two, { columns: all })).inserted, 2n)
        assert.equal((await write('replace', two, { columns: all })).inserted, 2n)
        assert.equal((await rows()).length, 2)
      }),
  },
]
