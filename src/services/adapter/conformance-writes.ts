import assert from 'node:assert/strict'
import type { ColumnBatch } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import { isNaruError } from '../../core/errors.ts'
import { typeText, type ColumnType } from '../../core/types.ts'
import { rejectsWith } from '../../testing/rejects.ts'
import { batchOf, type TestValue } from '../engine/conformance-batch.ts'
import { typeCases } from '../engine/conformance-rows.ts'
import { byKey, int64, never, readAll, shapeOf, text } from './conformance-support.ts'
import type { Adapter, Snapshot, TableShape, TableWriter, WriteMode, WritesTables, WriteTarget } from './contract.ts'
import { totalsOfTexts, type TextRows } from './text-totals.ts'

/** A system that is written: how a test looks at it from outside. */
export interface WritesSystem {
  /** The adapter under test, newly opened on a database that other tests leave alone. It reads what it wrote as well. */
  open(): Promise<Adapter>
  /** Runs one statement as another account would, and commits it. */
  execute(statement: string): Promise<void>
}

/** One promise of the contract's `WritesTables` and `TableWriter`. */
export interface WritesPromise {
  readonly name: string
  readonly when?: (can: WritesTables['can']) => boolean
  readonly check: (system: WritesSystem) => Promise<void>
}

/** The table that most promises write: `goods (id, name, price)`. */
const goods: TableShape = shapeOf(
  'goods',
  [
    ['id', int64],
    ['name', text],
    ['price', { kind: 'decimal', precision: 12, scale: 2 }],
  ],
  ['id'],
)

type GoodsRow = readonly [id: bigint, name: string | null, cents: bigint | null]

const has =
  (...modes: readonly WriteMode[]) =>
  (can: WritesTables['can']): boolean =>
    modes.every(mode => can.modes.includes(mode))

/** What every adapter that writes must keep. The test runner of the caller names and runs each. */
export const writesPromises: readonly WritesPromise[] = [
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
    name: 'a write that broke off goes on behind its last whole unit',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'resumed')
        assert.deepEqual(first.staged, [])
        assert.deepEqual(await first.stage('a', batches([1n, 'a', 1n], [2n, 'b', 2n]), never), { unit: 'a', rows: 2n })
        await assert.rejects(first.stage('b', breaking([3n, 'c', 3n]), never), /broken on purpose/)
        await first.close()
        const second = await writer('insert', 'resumed')
        assert.deepEqual(second.staged, [{ unit: 'a', rows: 2n }])
        await second.stage('b', batches([4n, 'd', 4n]), never)
        await second.stage('empty', batches(), never)
        await second.publish({ missed: 'refuse' }, never)
        assert.deepEqual(
          (await rows()).map(row => row[0]),
          ['1', '2', '4'],
        )
        await second.discard(never)
      }),
  },
  {
    name: 'a unit without rows is remembered, and one that is staged again replaces the first',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'again')
        await first.stage('a', batches([1n, 'first', 1n]), never)
        await first.stage('none', batches(), never)
        await first.stage('a', batches([7n, 'second', 1n]), never)
        await first.close()
        const second = await writer('insert', 'again')
        assert.deepEqual(
          [...second.staged].sort((a, b) => (a.unit < b.unit ? -1 : 1)),
          [
            { unit: 'a', rows: 1n },
            { unit: 'none', rows: 0n },
          ],
        )
        await second.publish({ missed: 'refuse' }, never)
        assert.deepEqual(await rows(), [['7', 'second', '0.01']])
        await second.discard(never)
      }),
  },
  {
    name: 'what was published is told to the next writer of its id until it is discarded',
    check: system =>
      withGoods(system, [], async ({ writer, rows }) => {
        const first = await writer('insert', 'told')
        await first.stage('a', batches([1n, 'a', 1n]), never)
        assert.equal(first.published, null)
        const written = await first.publish({ missed: 'refuse' }, never)
        await first.close()
        const second = await writer('insert', 'told')
        assert.deepEqual(second.published, written)
        await second.discard(never)
        await second.close()
        const third = await writer('insert', 'told')
        assert.equal(third.published, null)
        assert.deepEqual(third.staged, [])
        await third.discard(never)
        assert.equal((await rows()).length, 1)
      }),
  },
  {
    name: 'what is discarded leaves no trace',
    check: system =>
      withGoods(system, [[1n, 'old', 1n]], async ({ writer, rows, tables }) => {
        const before = await tables()
        const one = await writer('replace')
        await one.stage('a', batches([2n, 'b', 2n]), never)
        await one.discard(never)
        await one.close()
        assert.deepEqual(await tables(), before)
        assert.deepEqual(await rows(), [['1', 'old', '0.01']])
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
    name: 'insert refuses a key that is there, and changes nothing',
    check: system =>
      withGoods(system, [[1n, 'old', 1n]], async ({ writer, rows }) => {
        const one = await writer('insert')
        await one.stage('a', batches([2n, 'b', 2n], [1n, 'clash', 2n]), never)
        await assert.rejects(one.publish({ missed: 'refuse' }, never), error => isNaruError(error))
        assert.deepEqual(await rows(), [['1', 'old', '0.01']])
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
    name: 'rows that share a key are refused in every mode that has one',
    check: system =>
      withGoods(system, fill(2), async ({ writer, rows, adapter }) => {
        const before = await rows()
        const modes = ['upsert', 'update', 'replace'] as const
        for (const mode of modes.filter(it => it === 'replace' || adapter.writes?.can.modes.includes(it))) {
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

type Rows = readonly (readonly TestValue[])[]

interface Goods {
  readonly adapter: Adapter
  /** Opens a writer; all of them are closed in the end. */
  writer(mode: WriteMode, id?: string, more?: Partial<WriteTarget>): Promise<TableWriter>
  /** Stages, publishes and discards in one go. */
  write(
    mode: WriteMode,
    rows: Rows,
    more?: Partial<WriteTarget> & { readonly missed?: 'refuse' | 'report' },
  ): ReturnType<TableWriter['publish']>
  rows(): Promise<TextRows>
  shapeNow(): ReturnType<Snapshot['look']>
  /** Names of all tables. */
  tables(): Promise<readonly string[]>
}

/** Makes `goods` with these rows (`null`: it is not there) and opens the adapter. */
async function withGoods(
  system: WritesSystem,
  given: readonly GoodsRow[] | null,
  body: (goods: Goods) => Promise<void>,
): Promise<void> {
  await system.execute('drop table if exists goods')
  const adapter = await system.open()
  const writes = adapter.writes as WritesTables
  await writes.connect?.(never)
  const open: TableWriter[] = []
  const writer: Goods['writer'] = async (mode, id = 'one', more = {}) => {
    const one = await writes.openWriter({ id, ...goods, mode, create: true, ...more }, never)
    open.push(one)
    return one
  }
  const write: Goods['write'] = async (mode, rows, { missed = 'refuse', ...more } = {}) => {
    const one = await writer(mode, 'whole', more)
    await one.stage('all', batchesOf({ columns: more.columns ?? goods.columns }, rows), never)
    const written = await one.publish({ missed }, never)
    await one.discard(never)
    return written
  }
  const shapeNow = (): ReturnType<Snapshot['look']> => inSnapshot(adapter, snapshot => snapshot.look('goods'))
  const tables = async (): Promise<readonly string[]> =>
    ((await adapter.describes?.describe(never)) ?? []).map(table => table.name).sort()
  try {
    if (given !== null) await write('replace', given)
    await body({ adapter, writer, write, rows: () => rowsOf(adapter, goods), shapeNow, tables })
  } finally {
    for (const one of open) await one.close()
    await adapter.close()
  }
}

/** Writes values into a table of their own: they must come back as they are (true), or one be refused by its column (false). */
async function areKept(
  system: WritesSystem,
  adapter: Adapter,
  type: ColumnType,
  values: readonly TestValue[],
): Promise<boolean> {
  const shape = shapeOf(
    'one_value',
    [
      ['id', int64],
      ['v', type],
    ],
    ['id'],
  )
  await system.execute('drop table if exists one_value')
  const target = { id: 'value', ...shape, mode: 'insert', create: true } as const
  const one = await (adapter.writes as WritesTables).openWriter(target, never)
  const batch = batchOf(shape.columns, [values.map((_, i) => BigInt(i)), values])
  const data = batch.columns[1] as ColumnBatch['columns'][number]
  try {
    await one.stage('a', of(batch), never)
    await one.publish({ missed: 'refuse' }, never)
  } catch (error) {
    assert.ok(isNaruError(error, 'WRITE_VALUE') && error.message.includes('"v"'), `${typeText(type)}: ${String(error)}`)
    return false
  } finally {
    await one.discard(never)
    await one.close()
  }
  const found = await inSnapshot(adapter, async snapshot => {
    const { columns } = await snapshot.look('one_value')
    return { rows: (await readAll(snapshot, { ...shape, columns })).rows, type: columns[1]?.type as ColumnType }
  })
  const texts = new Map(found.rows.map(([id, text]) => [id, text ?? null]))
  values.forEach((_, i) => {
    const expected = spelled(cellText(type, data, i), type)
    assert.equal(
      spelled(texts.get(String(i)) ?? null, found.type),
      expected,
      `${typeText(type)} ${expected?.slice(0, 60)}`,
    )
  })
  return true
}

/** Floats are equal by value, also where a wider one keeps a narrow one. */
function spelled(value: string | null, type: ColumnType): string | null {
  if (value === null || type.kind !== 'float') return value
  return String(type.bits === 32 ? Math.fround(Number(value)) : Number(value))
}

async function rowsOf(adapter: Adapter, shape: TableShape): Promise<TextRows> {
  return inSnapshot(adapter, async snapshot => byKey((await readAll(snapshot, shape)).rows))
}

async function inSnapshot<T>(adapter: Adapter, body: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  const snapshot = await (adapter.tables as NonNullable<Adapter['tables']>).openSnapshot(never)
  try {
    return await body(snapshot)
  } finally {
    await snapshot.close()
  }
}

function fill(count: number): readonly GoodsRow[] {
  return Array.from({ length: count }, (_, i) => [BigInt(i + 1), `name ${i + 1}`, BigInt(i + 1)] as const)
}

/** Rows of `goods`, or of its first or last columns when they are shorter, as one batch; none without rows. */
function batches(...rows: Rows): AsyncGenerator<ColumnBatch> {
  const width = rows[0]?.length ?? goods.columns.length
  const startsWithId = typeof rows[0]?.[0] === 'bigint' || rows.length === 0
  const columns = startsWithId ? goods.columns.slice(0, width) : goods.columns.slice(-width)
  return batchesOf({ columns }, rows)
}

async function* batchesOf({ columns }: Pick<TableShape, 'columns'>, rows: Rows): AsyncGenerator<ColumnBatch> {
  if (rows.length === 0) return
  yield batchOf(
    columns,
    columns.map((_, i) => rows.map(row => row[i] as TestValue)),
  )
}

async function* breaking(...rows: Rows): AsyncGenerator<ColumnBatch> {
  yield* batches(...rows)
  throw new Error('broken on purpose')
}

async function* of(batch: ColumnBatch): AsyncGenerator<ColumnBatch> {
  yield batch
}
