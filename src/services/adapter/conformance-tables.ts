import assert from 'node:assert/strict'
import { batchBytes } from '../../core/batch.ts'
import { microsText } from '../../core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../core/types.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import {
  byKey,
  collect,
  createTable,
  describeTable,
  insertRows,
  int64,
  lookedUp,
  never,
  normal,
  readAll,
  readChunks,
  shapeOf,
  text,
  turns,
  withItems,
  withoutNative,
  withSnapshot,
} from './conformance-support.ts'
import type { Adapter, KeyBound, RowFilter, TableShape } from './contract.ts'
import { plainFloats, totalsOfTexts, type TextRows } from './text-totals.ts'

/** A system that the promises are checked against: how a test writes to it, and what it can do. */
export type TablesSystem = CheckedSystem & (SqlWrites | OwnWrites)

interface CheckedSystem {
  /** The adapter under test, newly opened on a database that other tests leave alone. It refuses rows over `rowBytesMax`. */
  open(): Promise<Adapter>
  readonly rowBytesMax: number
  /** The type of a column that says when a row changed. */
  readonly stamp: ColumnType
  /** What the system can do; what is left out is `true`. A promise that needs more is not asked of it. */
  readonly can: {
    /** Others may write while a snapshot is open. */
    readonly writesBesideSnapshot: boolean
    /** It knows the oldest open transaction. */
    readonly horizon: boolean
    /** It has a catalog; without one its columns are those of the config. */
    readonly describes?: boolean
    /** As `ReadsTables.can`. */
    readonly chunks?: boolean
    readonly totals?: boolean
    /** It filters by a column that says when a row changed, to the microsecond. */
    readonly since?: boolean
    /** It filters by several marks of a change at once (`RowFilter.changed`), and by times to the microsecond. */
    readonly changed?: boolean
    /** It filters by a range of a column. */
    readonly range?: boolean
    /** It takes a condition in its own words. */
    readonly where?: boolean
    /** It takes a part of a table only (`TableShape.where`). */
    readonly ownRows?: boolean
    /** Of a row over the limit its start is told; otherwise nothing of it was fetched. */
    readonly fetchesOversized?: boolean
  }
  /** Makes a table with the hardest values of every type it has, and says what each is in the system's own words. */
  createHardTable(): Promise<HardTable>
}

/** A SQL database: the suite makes its tables by statements. */
interface SqlWrites {
  /** Runs one statement as another account would, and commits it. */
  execute(statement: string): Promise<void>
  /** What the type is called in CREATE TABLE, so that the adapter reads it back as this type. */
  typeName(type: ColumnType): string
  /** A value of the type in SQL. */
  literal(type: ColumnType, text: string): string
  readonly makeTable?: never
}

/** Any other system: the test file makes its tables. An adapter that is opened afterwards knows them. */
interface OwnWrites {
  /** Makes the table anew, without rows. */
  makeTable(shape: TableShape): Promise<void>
  /** Adds rows, given as text in the order of the columns. */
  addRows(shape: TableShape, rows: TextRows): Promise<void>
  readonly execute?: never
}

/** The table of hard values: what stands in it, and what is expected of it. */
export interface HardTable {
  readonly remote: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
  /** Every row that fits the types, as `cellText` spells values. Floats may be spelled in any way that reads back equal. */
  readonly rows: TextRows
  /** Rows with a value that no column type holds, by the text of the first key column. */
  readonly unfit: readonly string[]
}

/** One promise of the contract's `Describes`, `ReadsTables` and `Snapshot`. */
export interface TablesPromise {
  readonly name: string
  readonly when?: (can: TablesSystem['can']) => boolean
  readonly check: (system: TablesSystem) => Promise<void>
}

/** The promises that a system with these claims must keep. */
export function tablesPromisesFor(can: TablesSystem['can']): readonly TablesPromise[] {
  return tablesPromises.filter(promise => promise.when?.(can) !== false)
}

/** What every adapter with tables must keep. The test runner of the caller names and runs each. */
export const tablesPromises: readonly TablesPromise[] = [
  {
    name: 'a table is described with its types, its key and what may be NULL',
    when: can => can.describes !== false,
    check: system =>
      withItems(system, 0, async ({ adapter, shape }) => {
        const described = await describeTable(adapter, shape.remote)
        assert.deepEqual(described.key, shape.key)
        assert.deepEqual(described.columns.map(withoutNative), shape.columns)
      }),
  },
  {
    name: 'every hard value arrives exactly as the source prints it, and what no type holds becomes a reject',
    check: async system => {
      const hard = await system.createHardTable()
      await withSnapshot(system, async (snapshot, adapter) => {
        const described = await lookedUp(system, adapter, snapshot, hard.remote)
        assert.deepEqual(
          described.columns.map(({ name, type }) => ({ name, type })),
          hard.columns.map(({ name, type }) => ({ name, type })),
        )
        const { rows, rejects } = await readAll(snapshot, hard)
        assert.deepEqual(byKey(normal(rows, hard.columns)), byKey(normal(hard.rows, hard.columns)))
        const keys = rejects.map(reject => Object.values(reject.key ?? {})[0])
        assert.deepEqual(keys.sort(), [...hard.unfit].sort())
        assert.ok(rejects.every(reject => reject.reason === 'VALUE_NOT_IN_TYPE' && reject.content !== ''))
      })
    },
  },
  {
    name: 'control totals of the source agree with the values that were read',
    when: can => can.totals !== false,
    check: async system => {
      const hard = await system.createHardTable()
      const key = hard.columns.find(column => column.name === hard.key[0]) as ColumnDef
      for (const unfit of hard.unfit) {
        if (system.execute === undefined) throw new Error('a system with totals is a SQL database in this suite')
        await system.execute(`delete from ${hard.remote} where ${key.name} = ${system.literal(key.type, unfit)}`)
      }
      await withSnapshot(system, async snapshot => {
        for (const hash of [false, true]) {
          const found = await snapshot.totals(hard, {}, { hash }, never)
          const expected = totalsOfTexts(hard.columns, hard.rows, hash)
          assert.deepEqual(plainFloats(found, hard.columns), plainFloats(expected, hard.columns))
        }
      })
    },
  },
  {
    name: 'an empty table gives no row, no bound, and totals of nothing',
    check: system =>
      withItems(system, 0, async ({ snapshot, shape }) => {
        assert.deepEqual(await readAll(snapshot, shape), { rows: [], rejects: [] })
        assert.equal(await snapshot.boundary(shape, undefined, 1), null)
        if (system.can.totals === false) return
        const totals = await snapshot.totals(shape, {}, { hash: false }, never)
        assert.equal(totals.rows, 0n)
        assert.ok(totals.columns.every(it => it.count === 0n && it.sum === null && it.min === null && it.max === null))
      }),
  },
  {
    name: 'NULL and empty text stay different',
    check: system =>
      withItems(system, 0, async ({ shape, insert, snapshotNow }) => {
        await insert([
          ['1', '', '10'],
          ['2', null, '20'],
        ])
        const { rows } = await readAll(await snapshotNow(), shape)
        assert.deepEqual(
          byKey(rows).map(row => row[1]),
          ['', null],
        )
      }),
  },
  {
    name: 'what the system says it can do is what the suite was told',
    check: system =>
      withSnapshot(system, async (_, adapter) => {
        const { chunks = true, totals = true, describes = true } = system.can
        assert.equal(adapter.tables?.can.chunks, chunks)
        assert.equal(adapter.tables?.can.totals, totals)
        assert.equal(adapter.describes !== undefined, describes)
      }),
  },
  {
    name: 'a table that is not cut into chunks is one piece, which holds every row once',
    when: can => can.chunks === false,
    check: system =>
      withItems(system, 2_500, async ({ snapshot, shape }) => {
        assert.equal(await snapshot.boundary(shape, undefined, 7), null)
        assert.equal(new Set((await readChunks(snapshot, shape, 3_000)).map(row => row[0])).size, 2_500)
      }),
  },
  {
    name: 'chunks between bounds hold every row once, whatever their size',
    when: can => can.chunks !== false,
    check: system =>
      withItems(system, 2_500, async ({ snapshot, shape }) => {
        for (const size of [1, 7, 999, 2_500, 2_501]) {
          if (size === 1) assert.deepEqual(await snapshot.boundary(shape, ['41'], 1), ['42'])
          else assert.deepEqual((await readChunks(snapshot, shape, size)).length, 2_500)
        }
        assert.deepEqual(await snapshot.boundary(shape, undefined, 2_500), ['2500'])
        assert.equal(await snapshot.boundary(shape, undefined, 2_501), null)
        assert.equal(await snapshot.boundary(shape, ['2500'], 1), null)
      }),
  },
  {
    name: 'a key of several columns is cut and compared as a whole, by the order of the source',
    when: can => can.chunks !== false,
    check: async system => {
      const shape = shapeOf(
        'pairs',
        [
          ['region', text],
          ['number', int64],
        ],
        ['region', 'number'],
      )
      await createTable(system, shape)
      const regions = ["a'b", 'a\\b', 'B', '한국', 'z', 'Z', 'é', ' ']
      await insertRows(
        system,
        shape,
        regions.flatMap(region => Array.from({ length: 30 }, (_, i) => [region, String(i)])),
      )
      await withSnapshot(system, async snapshot => {
        const rows = await readChunks(snapshot, shape, 13)
        assert.equal(new Set(rows.map(row => row.join('\u0000'))).size, regions.length * 30)
        assert.equal(rows.length, regions.length * 30)
      })
    },
  },
  {
    name: 'chunks are of one size however skewed the keys are: numbers far apart, texts that begin alike',
    when: can => can.chunks !== false,
    check: async system => {
      const skewed = shapeOf('skewed', [['id', int64]], ['id'])
      await createTable(system, skewed)
      const near = Array.from({ length: 200 }, (_, i) => i)
      const far = Array.from({ length: 40 }, (_, i) => 10 ** 9 + 2 ** (i + 12))
      await insertRows(
        system,
        skewed,
        [...near, ...far].map(id => [String(id)]),
      )
      const alike = shapeOf('alike', [['code', text]], ['code'])
      await createTable(system, alike)
      const codes = Array.from({ length: 200 }, (_, i) => `customer-of-the-north-${i % 2 === 0 ? i : `x${i}`}`)
      await insertRows(
        system,
        alike,
        [...codes, '0', '~'].map(code => [code]),
      )
      await withSnapshot(system, async snapshot => {
        assert.equal(new Set((await readChunks(snapshot, skewed, 23)).map(row => row[0])).size, 240)
        assert.equal(new Set((await readChunks(snapshot, alike, 23)).map(row => row[0])).size, 202)
      })
    },
  },
  {
    name: 'only the named columns are read, in their order',
    check: system =>
      withItems(system, 3, async ({ snapshot, shape }) => {
        const columns = [shape.columns[1], shape.columns[0]] as ColumnDef[]
        const { rows } = await readAll(snapshot, { ...shape, columns })
        assert.deepEqual(rows.map(row => row[1]).sort(), ['1', '2', '3'])
      }),
  },
  {
    name: 'a range of a column has its first value and not its last, compared as the column is',
    when: can => can.range !== false,
    check: system =>
      withItems(system, 120, async ({ snapshot, shape }) => {
        const range = { column: 'id', from: '9', to: '100' }
        const { rows } = await readAll(snapshot, shape, { range })
        assert.equal(rows.length, 91)
        assert.ok(rows.some(row => row[0] === '9') && rows.every(row => row[0] !== '100'))
        const after = { range, after: ['50'] }
        if (system.can.chunks !== false) assert.equal((await readAll(snapshot, shape, after)).rows.length, 49)
      }),
  },
  {
    name: 'a range of text goes by its bytes, whatever the collation: as the engine compares it',
    when: can => can.range !== false,
    check: async system => {
      const shape = shapeOf(
        'named',
        [
          ['id', int64],
          ['name', text],
        ],
        ['id'],
      )
      await createTable(system, shape)
      const names = ['A', 'B', 'Z', '_', 'a', 'b', 'é']
      await insertRows(
        system,
        shape,
        names.map((name, i) => [String(i), name]),
      )
      await withSnapshot(system, async snapshot => {
        const range = { column: 'name', from: 'B', to: 'b' }
        const { rows } = await readAll(snapshot, shape, { range })
        assert.deepEqual(rows.map(row => row[1]).sort(), ['B', 'Z', '_', 'a'])
      })
    },
  },
  {
    name: 'rows at the very microsecond of the filter are read, rows before it are not',
    when: can => can.since !== false,
    check: async system => {
      const shape = shapeOf(
        'stamped',
        [
          ['id', int64],
          ['at', system.stamp],
        ],
        ['id'],
      )
      await createTable(system, shape)
      const noon = 978_350_400_000_001n // 2001-01-01 12:00:00.000001
      const zoned = system.stamp.kind === 'timestamp' && system.stamp.zoned
      const stamps = [noon - 1n, noon, noon + 1n].map((at, i) => [String(i), microsText(at, zoned)])
      await insertRows(system, shape, [...stamps, ['3', null]])
      await withSnapshot(system, async snapshot => {
        const since = { column: 'at', atLeastMicros: noon }
        const { rows } = await readAll(snapshot, shape, { since })
        assert.deepEqual(rows.map(row => row[0]).sort(), ['1', '2'])
        if (system.can.totals === false) return
        assert.equal((await snapshot.totals(shape, { since }, { hash: false }, never)).rows, 2n)
        assert.equal((await snapshot.totals(shape, { since, after: ['1'] }, { hash: false }, never)).rows, 1n)
      })
    },
  },
  {
    name: 'rows that show one of several marks of a change are read: a time, a number, a flag',
    when: can => can.since !== false && can.changed !== false,
    check: async system => {
      const shape = shapeOf(
        'marked',
        [
          ['id', int64],
          ['at', system.stamp],
          ['rev', int64],
          ['state', text],
        ],
        ['id'],
      )
      await createTable(system, shape)
      const zoned = system.stamp.kind === 'timestamp' && system.stamp.zoned
      const [old, now] = [978_350_400_000_001n, 1_009_886_400_000_000n].map(at => microsText(at, zoned)) as [
        string,
        string,
      ]
      await insertRows(system, shape, [
        ['1', old, '7', 'done'],
        ['2', now, '7', 'done'],
        ['3', old, '8', 'done'],
        ['4', old, '9', 'done'],
        ['5', old, '7', 'new'],
        ['6', null, null, null],
      ])
      const stamp = { kind: 'stamp', column: 'at', atLeastMicros: 1_009_886_400_000_000n } as const
      const version = { kind: 'version', column: 'rev', atLeast: 8n } as const
      const flag = { kind: 'flag', column: 'state', is: 'new' } as const
      await withSnapshot(system, async snapshot => {
        const idsOf = async (changed: RowFilter['changed'], after?: KeyBound): Promise<readonly unknown[]> =>
          (await readAll(snapshot, shape, { changed, after })).rows.map(row => row[0]).sort()
        assert.deepEqual(await idsOf([version]), ['3', '4'])
        assert.deepEqual(await idsOf([flag]), ['5'])
        assert.deepEqual(await idsOf([stamp, version, flag]), ['2', '3', '4', '5'])
        if (system.can.chunks !== false) assert.deepEqual(await idsOf([stamp, flag], ['2']), ['5'])
        if (system.can.totals === false) return
        const filter = { changed: [stamp, version, flag] }
        assert.equal((await snapshot.totals(shape, filter, { hash: false }, never)).rows, 4n)
      })
    },
  },
  {
    name: 'one snapshot is one moment: what others commit is in the next one',
    when: can => can.writesBesideSnapshot,
    check: system =>
      withItems(system, 10, async ({ snapshot, shape, insert, snapshotNow }) => {
        await snapshot.look(shape.remote)
        await insert([['11', 'late', '0']])
        await system.execute?.(`delete from items where id = 1`)
        assert.equal((await readAll(snapshot, shape)).rows.length, 10)
        if (system.can.totals !== false) {
          assert.equal((await snapshot.totals(shape, {}, { hash: false }, never)).columns[0]?.sum, '55')
        }
        assert.deepEqual(await snapshot.boundary(shape, undefined, 10), ['10'])
        const later = await snapshotNow()
        assert.deepEqual(await later.boundary(shape, undefined, 10), ['11'])
        assert.ok(later.takenAtMicros >= snapshot.takenAtMicros)
      }),
  },
  {
    name: 'the horizon is not later than the view, and is told when it can be',
    check: system =>
      withSnapshot(system, async snapshot => {
        if (!system.can.horizon) return
        assert.ok(snapshot.horizonMicros !== null && snapshot.horizonMicros <= snapshot.takenAtMicros)
      }),
  },
  {
    name: 'what a table is now is looked up, and one that is gone has an error of its own',
    check: system =>
      withItems(system, 1, async ({ adapter, snapshot, shape }) => {
        const { denied, ...now } = await snapshot.look(shape.remote)
        assert.deepEqual(denied, [])
        const { rowsEstimate: _, ...described } = await lookedUp(system, adapter, snapshot, shape.remote)
        assert.deepEqual({ ...described, rowsEstimate: now.rowsEstimate }, now)
        assert.deepEqual(now.columns.map(withoutNative), shape.columns)
        await rejectsWith('SOURCE_TABLE_GONE', snapshot.look('no_such_table'), 'no_such_table')
      }),
  },
  {
    name: 'rows with NULL in the column that a table is cut by are in one chunk, none is lost',
    when: can => can.chunks !== false,
    check: async system => {
      const shape = shapeOf(
        'splits',
        [
          ['id', int64],
          ['part', text],
        ],
        ['id'],
      )
      await createTable(system, shape)
      await insertRows(
        system,
        shape,
        Array.from({ length: 90 }, (_, i) => [String(i), i % 3 === 0 ? null : `p${i % 7}`]),
      )
      await withSnapshot(system, async snapshot => {
        const cut = { ...shape, key: ['part'] }
        const ids: (string | null | undefined)[] = []
        for (let after: KeyBound | undefined; ;) {
          const upTo: KeyBound | null = await snapshot.boundary(cut, after, 20)
          const { rows } = await readAll(snapshot, cut, { after, upTo: upTo ?? undefined })
          ids.push(...rows.map(row => row[0]))
          if (upTo === null) break
          after = upTo
        }
        assert.equal(ids.length, 90)
        assert.equal(new Set(ids).size, 90)
      })
    },
  },
  {
    name: 'where it has the common order, keys are cut by the bytes of their text, whatever the collation',
    check: async system => {
      const columns = [['id', int64], ['word', text]] as const // prettier-ignore
      const shape = shapeOf('words', columns, ['id'])
      await createTable(system, shape)
      const words = [
        'a',
        'A',
        'b',
        'B',
        'ä',
        'Z',
        'z',
        'é',
        'Ö',
        '_',
        '-a',
        'a b',
        'ab',
        '10',
        '9',
        '',
        '🙂',
        '漢',
        "'",
        '\\',
      ]
      const rows = words.flatMap((word, i) => [0, 1].map(more => [String(2 * i + more), word]))
      await insertRows(system, shape, rows)
      await withSnapshot(system, async (snapshot, adapter) => {
        if (adapter.tables?.can.commonOrder === undefined) return
        const cut = { ...shape, key: ['word', 'id'], keyOrder: 'common' } as const
        const chunks: (readonly string[])[] = []
        for (let after: KeyBound | undefined; ;) {
          const upTo: KeyBound | null = await snapshot.boundary(cut, after, 3)
          const filter = { after, upTo: upTo ?? undefined }
          const read = await readAll(snapshot, cut, filter)
          assert.equal((await snapshot.totals(cut, filter, { hash: false }, never)).rows, BigInt(read.rows.length))
          chunks.push(read.rows.map(row => `${row[1]}\u0000${String(row[0]).padStart(4, '0')}`))
          if (upTo === null) break
          assert.equal(read.rows.length, 3)
          after = upTo
        }
        const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
        const sorted = rows.map(([id, word]) => `${word}\u0000${String(id).padStart(4, '0')}`).sort(byBytes)
        assert.deepEqual(
          chunks.flatMap(chunk => chunk.toSorted(byBytes)),
          sorted,
        )
      })
    },
  },
  {
    name: 'physical ranges together hold every row once',
    check: system =>
      withItems(system, 2_500, async ({ snapshot, shape }) => {
        if (snapshot.ranges === undefined) return
        const ranges = await snapshot.ranges(shape, 500)
        assert.ok(ranges.length > 1)
        const parts = await Promise.all(ranges.map(place => readAll(snapshot, shape, { place })))
        const ids = parts.flatMap(({ rows }) => rows.map(row => row[0]))
        assert.equal(ids.length, 2_500)
        assert.equal(new Set(ids).size, 2_500)
      }),
  },
  {
    name: "a condition in the source's own words narrows every read",
    when: can => can.where !== false,
    check: system =>
      withItems(system, 10, async ({ snapshot, shape }) => {
        const filter = { where: 'id > 7 or id = 1' }
        assert.equal((await readAll(snapshot, shape, filter)).rows.length, 4)
        assert.equal((await snapshot.totals(shape, { ...filter, after: ['1'] }, { hash: false }, never)).rows, 3n)
      }),
  },
  {
    name: 'rows for which the condition of a table does not hold are not part of it',
    when: can => can.ownRows === true,
    check: system =>
      withItems(system, 10, async ({ snapshot, shape }) => {
        const part = { ...shape, where: 'id > 7 or id = 1' }
        assert.equal((await readAll(snapshot, part, {})).rows.length, 4)
        assert.equal((await readAll(snapshot, part, { where: 'id < 9 or id = 10' })).rows.length, 3)
        assert.equal((await snapshot.totals(part, { after: ['1'] }, { hash: true }, never)).rows, 3n)
        assert.equal((await readChunks(snapshot, part, 2)).length, 4)
      }),
  },
  {
    name: 'a query with a name is looked up, cut and read like a table',
    check: system =>
      withItems(system, 30, async ({ snapshot, shape, snapshotNow }) => {
        if (snapshot.define === undefined) return
        await snapshot.define('(query)', 'select id, name from items where id <= 20')
        const now = await snapshot.look('(query)')
        assert.deepEqual(
          now.columns.map(({ name, type }) => ({ name, type })),
          shape.columns.slice(0, 2).map(({ name, type }) => ({ name, type })),
        )
        const query = { remote: '(query)', columns: shape.columns.slice(0, 2), key: ['id'] }
        assert.equal((await readChunks(snapshot, query, 7)).length, 20)
        assert.equal((await snapshot.totals(query, { where: 'id > 10' }, { hash: false }, never)).rows, 10n)
        const other = (await snapshotNow()) as Required<typeof snapshot>
        await rejectsWith('SOURCE_QUERY', other.define('(query)', 'select no_such_column from items'), 'no_such_column')
      }),
  },
  {
    name: 'batches keep their limit, also when they are consumed slowly',
    check: async system => {
      const shape = shapeOf(
        'wide',
        [
          ['id', int64],
          ['body', text],
        ],
        ['id'],
      )
      await createTable(system, shape)
      const body = 'x'.repeat(Math.min(60_000, system.rowBytesMax / 2))
      await insertRows(
        system,
        shape,
        Array.from({ length: 400 }, (_, i) => [String(i), body]),
      )
      await withSnapshot(system, async snapshot => {
        let rows = 0
        for await (const { batch } of snapshot.read(shape, ['id', 'body'], {}, never)) {
          assert.ok(batchBytes(batch) <= 8 * 1024 * 1024)
          rows += batch.rows
          await turns(20)
        }
        assert.equal(rows, 400)
      })
    },
  },
  {
    name: 'a value over the limit makes a reject that names its row, and the others arrive',
    check: system =>
      withItems(system, 3, async ({ shape, insert, snapshotNow }) => {
        await insert([['4', `${'한'.repeat(system.rowBytesMax / 3)} end`, '0']])
        const { rows, rejects } = await readAll(await snapshotNow(), shape)
        assert.equal(rows.length, 3)
        assert.equal(rejects.length, 1)
        const [reject] = rejects
        assert.equal(reject?.reason, 'VALUE_TOO_LARGE')
        assert.deepEqual(reject?.key, { id: '4' })
        assert.ok(reject.bytes > system.rowBytesMax && Buffer.byteLength(reject.content) <= 64 * 1024)
        if (system.can.fetchesOversized === false) assert.equal(reject.content, '')
        else assert.ok(reject.content.startsWith('한한'))
      }),
  },
  {
    name: 'a read that is left early, or cancelled, leaves the snapshot usable',
    check: system =>
      withItems(system, 2_000, async ({ snapshot, shape }) => {
        for await (const { batch } of snapshot.read(shape, ['id'], {}, never)) {
          assert.ok(batch.rows > 0)
          break
        }
        const cancelled = new AbortController()
        cancelled.abort()
        await rejectsWith('CANCELLED', collect(snapshot.read(shape, ['id'], {}, cancelled.signal)))
        assert.equal((await readAll(snapshot, shape)).rows.length, 2_000)
      }),
  },
  {
    name: 'several snapshots are read at once',
    check: system =>
      withItems(system, 1_000, async ({ snapshot, shape, snapshotNow }) => {
        const both = await Promise.all([readAll(snapshot, shape), readAll(await snapshotNow(), shape)])
        assert.deepEqual(
          both.map(it => it.rows.length),
          [1_000, 1_000],
        )
      }),
  },
]
