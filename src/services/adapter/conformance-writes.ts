import assert from 'node:assert/strict'
import { isNaruError } from '../../core/errors.ts'
import { typeText } from '../../core/types.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { typeCases } from '../../testing/suite/type-cases.ts'
import { callsPromises } from './conformance-calls.ts'
import {
  areKept,
  batches,
  batchesOf,
  fill,
  goods,
  has,
  rowsOf,
  withGoods,
  type WritesPromise,
} from './conformance-goods.ts'
import { keysPromises } from './conformance-keys.ts'
import { stagesPromises } from './conformance-stages.ts'
import { int64, never, shapeOf, text } from './conformance-support.ts'
import type { WritesTables } from './contract-writes.ts'
import { totalsOfTexts, type TextRows } from './text-totals.ts'

/** What every adapter that writes must keep. The test runner of the caller names and runs each. */
export const writesPromises: readonly WritesPromise[] = [
  ...stagesPromises,
  ...keysPromises,
  ...callsPromises,
  {
    name: 'a table that is not there is made with its types and its key, and holds the rows that were written',
    check: system =>
      withGoods(system, null, async ({ write, rows, shapeNow }) => {
        const written = await write('replace', [
          [1n, 'apple', 123n],
          [2n, null, -1n],
        ])
        assert.deepEqual(written, { inserted: 2n, updated: 0n, deleted: 0n, missedNone: 0n, missedMany: 0n })
        const expected = [
          ['1', 'apple', '1.23'],
          ['2', null, '-0.01'],
        ]
        assert.deepEqual(await rows(), expected)
        const now = await shapeNow()
        assert.deepEqual(now.key, ['id'])
        assert.deepEqual(
          now.columns.map(({ name, type }) => [name, typeText(type)]),
          goods.columns.map(({ name, type }) => [name, typeText(type)]),
        )
      }),
  },
  {
    name: 'a value arrives exactly or is refused by name: no type rounds, cuts or shifts one',
    check: async system => {
      const adapter = await system.open()
      try {
        const writes = adapter.writes as WritesTables
        await writes.connect?.(never)
        await writes.connect?.(never)
        for (const { type, values } of typeCases) {
          if (writes.typeName(type) === null) continue
          // Together, as most systems hold most of them; one by one where one is refused.
          if (await areKept(system, adapter, type, values)) continue
          for (const value of values) await areKept(system, adapter, type, [value])
        }
      } finally {
        await adapter.close()
      }
    },
  },
  {
    name: 'nothing is visible before the publish, and everything after it',
    check: system =>
      withGoods(system, [[1n, 'old', 1n]], async ({ writer, rows }) => {
        const one = await writer('insert')
        await one.stage('a', batches([2n, 'b', 2n]), never)
        await one.stage('b', batches([3n, 'c', 3n]), never)
        assert.equal((await rows()).length, 1)
        const written = await one.publish({ missed: 'refuse' }, never)
        assert.equal(written.inserted, 2n)
        assert.equal((await rows()).length, 3)
        await one.discard(never)
        await one.discard(never)
      }),
  },
  {
    name: 'totals of the stage are those of the rows that were given',
    when: can => can.totals,
    check: system =>
      withGoods(system, [], async ({ writer }) => {
        const one = await writer('insert')
        await one.stage('a', batches([1n, 'a', 150n], [2n, null, -25n]), never)
        await one.stage('b', batches([3n, '', null]), never)
        const expected: TextRows = [
          ['1', 'a', '1.50'],
          ['2', null, '-0.25'],
          ['3', '', null],
        ]
        for (const hash of [false, true]) {
          assert.deepEqual(await one.totals({ hash }, never), totalsOfTexts(goods.columns, expected, hash))
          const ofFirst = await one.totals({ hash, units: ['a'] }, never)
          assert.deepEqual(ofFirst, totalsOfTexts(goods.columns, expected.slice(0, 2), hash))
        }
        await one.discard(never)
      }),
  },
  {
    name: 'replace leaves exactly the new rows, and others never see it empty',
    check: system =>
      withGoods(system, fill(500), async ({ write, writer, rows, adapter }) => {
        const one = await writer('replace')
        await one.stage('a', batches(...fill(700)), never)
        const counts = new Set<number>()
        const over = new AbortController()
        const watching = (async () => {
          while (!over.signal.aborted) counts.add((await rowsOf(adapter, goods)).length)
        })()
        const written = await one.publish({ missed: 'refuse' }, never)
        over.abort()
        await watching
        assert.deepEqual(written, { inserted: 700n, updated: 0n, deleted: 500n, missedNone: 0n, missedMany: 0n })
        assert.ok(
          [...counts].every(count => count === 500 || count === 700),
          [...counts].join(', '),
        )
        await one.discard(never)
        await write('replace', [])
        assert.deepEqual(await rows(), [])
      }),
  },
  {
    name: 'replace takes no rows of other tables along that point to the replaced ones',
    check: async system => {
      await system.execute('drop table if exists remark')
      await withGoods(system, fill(2), async ({ write, rows, adapter }) => {
        const remark = shapeOf(
          'remark',
          [
            ['id', int64],
            ['good', int64],
          ],
          ['id'],
        )
        await system.execute(
          'create table remark (id bigint primary key, good bigint not null, foreign key (good) references goods (id) on delete cascade)',
        )
        try {
          await system.execute('insert into remark values (7, 2)')
          await write('replace', [
            [2n, 'changed', 2n],
            [3n, 'new', 3n],
          ])
          assert.deepEqual(await rows(), [
            ['2', 'changed', '0.02'],
            ['3', 'new', '0.03'],
          ])
          assert.deepEqual(await rowsOf(adapter, remark), [['7', '2']])
        } finally {
          await system.execute('drop table remark')
        }
      })
    },
  },
  {
    name: 'update changes the named columns of the rows that it finds, and no others',
    when: has('update'),
    check: system =>
      withGoods(system, fill(3), async ({ write, rows }) => {
        const { columns } = goods
        const written = await write('update', [[2n, 'new']], { columns: columns.slice(0, 2) })
        assert.deepEqual(written, { inserted: 0n, updated: 1n, deleted: 0n, missedNone: 0n, missedMany: 0n })
        assert.deepEqual(await rows(), [
          ['1', 'name 1', '0.01'],
          ['2', 'new', '0.02'],
          ['3', 'name 3', '0.03'],
        ])
      }),
  },
  {
    name: 'upsert changes rows by key and adds the others, also a row that is the same',
    when: has('upsert'),
    check: system =>
      withGoods(system, fill(3), async ({ write, rows }) => {
        const written = await write('upsert', [
          [2n, 'new', null],
          [3n, 'name 3', 3n],
          [4n, 'added', 4n],
        ])
        assert.deepEqual(written, { inserted: 1n, updated: 2n, deleted: 0n, missedNone: 0n, missedMany: 0n })
        assert.deepEqual(await rows(), [
          ['1', 'name 1', '0.01'],
          ['2', 'new', null],
          ['3', 'name 3', '0.03'],
          ['4', 'added', '0.04'],
        ])
        const again = await write('upsert', [[4n, 'added', 4n]])
        assert.equal(again.inserted, 0n)
      }),
  },
  {
    name: 'delete removes the rows of the keys, and tells of keys without one',
    when: has('delete'),
    check: system =>
      withGoods(system, fill(3), async ({ write, writer, rows }) => {
        const keys = { columns: goods.columns.slice(0, 1) }
        const refused = await writer('delete', 'keys', keys)
        await refused.stage('a', batches([1n], [8n]), never)
        await rejectsWith('WRITE_KEYS_MISSED', refused.publish({ missed: 'refuse' }, never), '8')
        await refused.discard(never)
        const written = await write('delete', [[1n], [8n]], { ...keys, missed: 'report' })
        assert.deepEqual([written.deleted, written.missedNone], [1n, 1n])
        assert.deepEqual(
          (await rows()).map(row => row[0]),
          ['2', '3'],
        )
      }),
  },
  {
    name: 'two writers of one table at once end as one behind the other, or one of them is refused whole',
    check: system =>
      withGoods(system, [], async ({ writer, write, rows, adapter }) => {
        const both = { left: [1n, 300n], right: [200n, 500n] } as const
        const modes = ['replace', 'upsert'] as const
        const can = (adapter.writes as WritesTables).can.modes
        for (const mode of modes.filter(it => it === 'replace' || can.includes(it))) {
          await write('replace', [[0n, 'old', 1n]])
          const writers = await Promise.all(
            Object.entries(both).map(async ([name, [from, to]]) => {
              const one = await writer(mode, name)
              const mine = Array.from(
                { length: Number(to - from) + 1 },
                (_, i) => [from + BigInt(i), name, 1n] as const,
              )
              await one.stage('a', batches(...mine), never)
              return one
            }),
          )
          const ended = await Promise.allSettled(writers.map(it => it.publish({ missed: 'report' }, never)))
          for (const it of ended) if (it.status === 'rejected') assert.ok(isNaruError(it.reason), String(it.reason))
          const done = Object.keys(both).filter((_, i) => ended[i]?.status === 'fulfilled')
          assert.ok(done.length > 0, 'none of the two was published')
          assert.ok(isOneBehindTheOther(mode, done, both, await rows()), `${mode}: the two were mixed`)
          for (const one of writers) await one.discard(never)
        }
      }),
  },
  {
    name: 'a target that is not there, or that the columns do not fit, is refused before a row is sent',
    check: system =>
      withGoods(system, [], async ({ writer }) => {
        await rejectsWith('WRITE_TARGET', writer('insert', 'x', { remote: 'no_such_table', create: false }), 'no_such')
        const { columns } = shapeOf('goods', [['colour', text]], [])
        await rejectsWith('WRITE_TARGET', writer('insert', 'x', { columns }), 'colour')
        const narrow = shapeOf('goods', [['name', { kind: 'bytes' }]], []).columns
        await rejectsWith('WRITE_TARGET', writer('insert', 'x', { columns: narrow, key: [] }), 'name')
      }),
  },
  {
    name: 'names with quotes, spaces and letters of any script are names, not SQL',
    check: async system => {
      const shape = shapeOf(
        'odd "table`; 한국',
        [
          ["ke'y", int64],
          ['select "x"', text],
        ],
        ["ke'y"],
      )
      const adapter = await system.open()
      try {
        const target = { id: 'odd', ...shape, mode: 'replace', create: true } as const
        const one = await (adapter.writes as WritesTables).openWriter(target, never)
        await one.stage("unit 'a'", batchesOf(shape, [[1n, `'; drop table goods; --`]]), never)
        await one.publish({ missed: 'refuse' }, never)
        await one.discard(never)
        await one.close()
        assert.deepEqual(await rowsOf(adapter, shape), [['1', `'; drop table goods; --`]])
      } finally {
        await adapter.close()
      }
    },
  },
]

/** True when the rows are those that the writers leave in one of their two orders. */
function isOneBehindTheOther(
  mode: 'replace' | 'upsert',
  done: readonly string[],
  ranges: Readonly<Record<string, readonly [from: bigint, to: bigint]>>,
  found: TextRows,
): boolean {
  const after = (order: readonly string[]): string => {
    const names = new Map([['0', 'old']])
    for (const name of order) {
      const [from, to] = ranges[name] as readonly [bigint, bigint]
      if (mode === 'replace') names.clear()
      for (let id = from; id <= to; id++) names.set(String(id), name)
    }
    return [...names]
      .map(pair => pair.join(' '))
      .sort()
      .join()
  }
  const now = found
    .map(([id, name]) => `${id} ${name}`)
    .sort()
    .join()
  return now === after(done) || now === after(done.toReversed())
}
