import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batchOf, column } from '../testing/suite/batches.ts'
import { typeCases } from '../testing/suite/type-cases.ts'
import { changeOp, type ChangeSlice, type TableChanges } from './change-slice.ts'
import { isNaruError } from './errors.ts'
import { decodeSlice, encodeSlice } from './slice-codec.ts'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const uint32 = fc.nat({ max: 0xffff_ffff })
const unicode = fc.string({ unit: 'binary' })

/** A table of up to 20 rows whose columns are of any types, with values at their limits. */
const table: fc.Arbitrary<TableChanges> = fc
  .record({
    name: unicode,
    rows: fc.nat({ max: 20 }),
    cases: fc.array(fc.constantFrom(...typeCases), { maxLength: 6 }),
    nulls: fc.infiniteStream(fc.boolean()),
    withUnchanged: fc.infiniteStream(fc.boolean()),
    bytes: fc.infiniteStream(fc.nat({ max: 255 })),
    flags: fc.infiniteStream(fc.boolean()),
  })
  .map(({ name, rows, cases, nulls, withUnchanged, bytes, flags }) => {
    const byte = (): number => bytes.next().value as number
    const columns = cases.map(({ type }, i) => ({
      ...column(`${name}${i}`, type),
      nullable: flags.next().value as boolean,
      personal: flags.next().value as boolean,
    }))
    const values = cases.map(({ values: some }) =>
      Array.from({ length: rows }, () => (nulls.next().value === true ? null : (some[byte() % some.length] ?? null))),
    )
    const batch = cases.length === 0 ? { rows, columns: [] } : batchOf(columns, values)
    return {
      table: name,
      columns,
      rows: batch,
      ops: Uint8Array.from({ length: rows }, () => 1 + (byte() % 5)),
      order: Uint32Array.from({ length: rows }, (_, i) => i * 3),
      unchanged: columns.map(() =>
        withUnchanged.next().value === true ? Uint8Array.from({ length: (rows + 7) >> 3 }, byte) : null,
      ),
    }
  })

const slice: fc.Arbitrary<ChangeSlice> = fc
  .record({
    position: fc.option(unicode),
    committedMicros: fc.option(int64),
    tables: fc.array(table, { maxLength: 4 }),
    transactions: fc.array(fc.tuple(int64, uint32, int64), { maxLength: 5 }).map(all => ({
      ids: BigInt64Array.from(all, it => it[0]),
      ends: Uint32Array.from(all, it => it[1]),
      committedMicros: BigInt64Array.from(all, it => it[2]),
    })),
    messages: fc.array(
      fc.record(
        { order: uint32, prefix: unicode, content: fc.uint8Array({ maxLength: 50 }) },
        { noNullPrototype: true },
      ),
      {
        maxLength: 4,
      },
    ),
  })
  // Plain objects: fast-check marks those that hold a stream.
  .map(({ position, committedMicros, tables, transactions, messages }) => ({
    position,
    committedMicros,
    tables: [...tables],
    transactions,
    messages: [...messages],
  }))

describe('an encoded slice', () => {
  test('gives the slice again: every type, unchanged values, transactions and messages', () => {
    fc.assert(
      fc.property(slice, given => {
        assert.deepEqual(decodeSlice(encodeSlice(given)), given)
      }),
      { numRuns: 300 },
    )
  })

  test('is read as views on its bytes', () => {
    const bytes = encodeSlice(oneRow())
    const [changes] = decodeSlice(bytes).tables as [TableChanges]
    const [id, name] = changes.rows.columns as [(typeof changes.rows.columns)[0], (typeof changes.rows.columns)[0]]
    for (const view of [changes.ops, changes.order, id.data, name.data]) expect(view.buffer).toBe(bytes.buffer)
  })

  test('is read wherever it lies in a larger memory', () => {
    const bytes = encodeSlice(oneRow())
    for (let shift = 0; shift < 16; shift++) {
      const memory = new Uint8Array(bytes.length + 16)
      memory.set(bytes, shift)
      expect(decodeSlice(memory.subarray(shift, shift + bytes.length))).toEqual(oneRow())
    }
  })

  test('holds only the rows there are, of buffers that have room for more', () => {
    const given = oneRow()
    const [changes] = given.tables as [TableChanges]
    const roomy: ChangeSlice = {
      ...given,
      tables: [
        {
          ...changes,
          ops: Uint8Array.of(...changes.ops, 9, 9),
          order: Uint32Array.of(...changes.order, 9, 9),
          rows: {
            rows: 1,
            columns: changes.rows.columns.map(it => ({ ...it, data: Uint8Array.of(...it.data, 9, 9, 9) })),
          },
        },
      ],
    }
    expect(encodeSlice(roomy)).toEqual(encodeSlice(given))
  })

  test('that was encoded does not change when the buffers of the first are used again', () => {
    const given = oneRow()
    const copy = decodeSlice(encodeSlice(given))
    given.tables[0]?.ops.fill(0)
    expect(copy).toEqual(oneRow())
  })

  test('is refused when its parts do not fit together', () => {
    const given = oneRow()
    const [changes] = given.tables as [TableChanges]
    const wrong: readonly Partial<TableChanges>[] = [
      { ops: new Uint8Array(0) },
      { order: new Uint32Array(0) },
      { unchanged: [null] },
      { unchanged: [new Uint8Array(0), null] },
      { columns: changes.columns.slice(1) },
      { columns: changes.columns.toReversed() },
      { rows: { ...changes.rows, rows: 2 } },
    ]
    for (const part of wrong) {
      expectCode('SLICE_MISFIT', () => encodeSlice({ ...given, tables: [{ ...changes, ...part }] }))
    }
  })
})

describe('bytes that are no slice', () => {
  test('of a later version say so', () => {
    const bytes = encodeSlice(oneRow())
    bytes[0] = 2
    expectCode('SLICE_VERSION', () => decodeSlice(bytes))
  })

  test('cut anywhere are damage', () => {
    const bytes = encodeSlice(oneRow())
    for (let end = 0; end < bytes.length; end++) expectCode('SLICE_DAMAGED', () => decodeSlice(bytes.slice(0, end)))
  })

  test('changed anywhere give damage or a slice of the same size, never another error', () => {
    const faults = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(slice, faults, (given, changes) => {
        const bytes = encodeSlice(given)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        expectSound(bytes)
      }),
      { numRuns: 2_000 },
    )
  })

  test('with any numbers for lengths, rows and counts in the head are damage', () => {
    const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(2 ** 32 - 1, 2 ** 53, 1e300, -1, -2, null, 'x'))
    fc.assert(
      fc.property(fc.nat(), number, (which, value) => {
        let seen = 0
        const numbers = headText(encodeSlice(oneRow())).match(/-?\b\d+\b/g)?.length ?? 1
        expectSound(
          withHead(encodeSlice(oneRow()), text =>
            text.replaceAll(/-?\b\d+\b/g, old => (seen++ === which % numbers ? JSON.stringify(value) : old)),
          ),
        )
      }),
      { numRuns: 2_000 },
    )
  })

  test('of any kind at all are damage', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bytes => expectSound(bytes)))
    for (const head of ['null', '[]', '{}', '1', '"x"', '{"tables":{}}', '['.repeat(100_000)]) {
      expectCode('SLICE_DAMAGED', () => decodeSlice(withHead(encodeSlice(oneRow()), () => head)))
    }
  })
})

/** Decodes or is damage; and what was decoded refers to no memory but that of the bytes, or of one copy of them. */
function expectSound(bytes: Uint8Array): void {
  try {
    const { tables, transactions } = decodeSlice(bytes)
    const views = tables.flatMap(it => [it.ops, it.order, ...it.unchanged, ...it.rows.columns.map(({ data }) => data)])
    for (const view of [...views, ...Object.values(transactions)]) {
      expect(view?.buffer.byteLength ?? 0).toBeLessThanOrEqual(bytes.buffer.byteLength)
    }
  } catch (error) {
    if (!isNaruError(error, 'SLICE_DAMAGED') && !isNaruError(error, 'SLICE_VERSION')) throw error
  }
}

function expectCode(code: 'SLICE_DAMAGED' | 'SLICE_VERSION' | 'SLICE_MISFIT', task: () => unknown): void {
  let thrown: unknown
  try {
    task()
  } catch (error) {
    thrown = error
  }
  expect(isNaruError(thrown, code), String(thrown)).toBe(true)
}

function headText(bytes: Uint8Array): string {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true)
  return Buffer.from(bytes.subarray(8, 8 + length)).toString()
}

function withHead(bytes: Uint8Array, change: (text: string) => string): Uint8Array {
  const before = headText(bytes)
  const head = Buffer.from(change(before))
  const align = (length: number): number => Math.ceil(length / 8) * 8
  const buffers = bytes.subarray(8 + align(Buffer.byteLength(before)))
  const made = new Uint8Array(8 + align(head.length) + buffers.length)
  made.set(bytes.subarray(0, 4))
  new DataView(made.buffer).setUint32(4, head.length, true)
  made.set(head, 8)
  made.set(buffers, 8 + align(head.length))
  return made
}

function oneRow(): ChangeSlice {
  const columns = [column('id', { kind: 'int', bits: 32 }), column('name', { kind: 'text' })]
  return {
    position: '0/16B3748',
    committedMicros: 1_800_000_000_000_000n,
    tables: [
      {
        table: 'flights',
        columns,
        rows: batchOf(columns, [[7n], ['Incheon']]),
        ops: Uint8Array.of(changeOp.update),
        order: Uint32Array.of(0),
        unchanged: [null, Uint8Array.of(0)],
      },
    ],
    transactions: {
      ids: BigInt64Array.of(4711n),
      ends: Uint32Array.of(1),
      committedMicros: BigInt64Array.of(1_800_000_000_000_000n),
    },
    messages: [{ order: 1, prefix: 'app', content: Uint8Array.of(1, 2, 3) }],
  }
}
