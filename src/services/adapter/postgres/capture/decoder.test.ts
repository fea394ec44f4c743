import assert from 'node:assert/strict'
import os from 'node:os'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bufferPool } from '../../../../core/buffer-pool.ts'
import type { ChangeSlice } from '../../../../core/change-slice.ts'
import { realEnv } from '../../../../core/env.ts'
import { isNaruError } from '../../../../core/errors.ts'
import { dateOf, intervalOf, stampOf, timeOf } from '../../../../systems/postgres/text-values.ts'
import { eventsOf } from '../../conformance-capture-support.ts'
import { int64, shapeOf, text } from '../../conformance-support.ts'
import { seenBy } from '../seen.ts'
import type { Target } from '../target.ts'
import { ChangeDecoder } from './decoder.ts'
import type { Found } from './decoder-steps.ts'
import { BufferedTransactions } from './buffered.ts'
import { comparePositions, lsnText, parsePosition, positionText } from './position.ts'
import { streamError } from './stream.ts'

const int = (value: number, bytes = 4): Buffer => {
  const buffer = Buffer.alloc(bytes)
  if (bytes === 1) buffer.writeUInt8(value)
  else if (bytes === 2) buffer.writeInt16BE(value)
  else if (bytes === 4) buffer.writeInt32BE(value)
  else buffer.writeBigInt64BE(BigInt(value))
  return buffer
}
const letter = (value: string): Buffer => Buffer.from(value)
const name = (value: string): Buffer => Buffer.from(`${value}\0`)
const frame = (kind: string, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  return Buffer.concat([letter(kind), int(body.length + 4), body])
}
const data = (...parts: Buffer[]): Buffer => frame('d', letter('w'), int(0, 8), int(0, 8), int(0, 8), ...parts)
const value = (it: string | null | undefined): Buffer =>
  it === undefined
    ? letter('u')
    : it === null
      ? letter('n')
      : Buffer.concat([letter('t'), int(Buffer.byteLength(it)), Buffer.from(it)])
const tuple = (...cells: (string | null | undefined)[]): Buffer =>
  Buffer.concat([int(cells.length, 2), ...cells.map(value)])

const begin = (xid: number): Buffer => data(letter('B'), int(0, 8), int(0, 8), int(xid))
const commit = (lsn: number): Buffer => data(letter('C'), int(0, 1), int(lsn, 8), int(lsn, 8), int(0, 8))
const relation = (
  part: Buffer = Buffer.alloc(0),
  columns: readonly [string, number][] = [
    ['id', 20],
    ['note', 25],
  ],
): Buffer =>
  data(
    letter('R'),
    part,
    int(7),
    name('public'),
    name('things'),
    letter('d'),
    int(columns.length, 2),
    ...columns.flatMap(([it, type], i) => [int(i === 0 ? 1 : 0, 1), name(it), int(type), int(-1)]),
  )
const insert = (id: string, note: string | null | undefined, part: Buffer = Buffer.alloc(0)): Buffer =>
  data(letter('I'), part, int(7), letter('N'), tuple(id, note))
const keepalive = (lsn: number): Buffer => frame('d', letter('k'), int(lsn, 8), int(0, 8), int(0, 1))

const things = {
  name: 'thing',
  schema: 'public',
  relation: 'things',
  ...shapeOf(
    'things',
    [
      ['id', int64],
      ['note', text],
    ],
    ['id'],
  ),
}

function decoder(
  rowBytesMax = 1_000_000,
  key: readonly string[] = ['id'],
): { readonly it: ChangeDecoder; readonly buffered: BufferedTransactions } {
  const buffered = new BufferedTransactions(realEnv(), os.tmpdir(), 1_000_000_000)
  const it = new ChangeDecoder({
    tables: [{ ...things, key }],
    types: { domains: new Map(), labels: new Map() },
    isBinary: false,
    checkText: null,
    pool: bufferPool(),
    buffered,
    sliceBytes: 1_000_000,
    rowBytesMax,
    from: 0n,
    positionText: lsn => String(lsn),
  })
  return { it, buffered }
}

/** Feeds all bytes in pieces, and gives what was found, with what is left cut off as a last slice. */
async function decode(
  bytes: Buffer,
  size: number,
  rowBytesMax?: number,
  key?: readonly string[],
): Promise<{ readonly found: readonly Found[]; readonly slices: readonly ChangeSlice[] }> {
  const { it, buffered } = decoder(rowBytesMax, key)
  const found: Found[] = []
  let steps = 0
  for (let at = 0; ;) {
    assert.ok(++steps < 100_000, 'it goes round')
    const next = it.step()
    if (next.kind === 'replay') it.replay(await buffered.next(next.xid))
    else if (next.kind !== 'more') found.push(structuredClone(next))
    else if (at >= bytes.length) break
    else it.feed(bytes.subarray(at, (at += Math.max(size, 1))))
  }
  if (it.isReady) found.push({ kind: 'slice', slice: it.cut() })
  return { found, slices: found.flatMap(one => (one.kind === 'slice' ? [one.slice] : [])) }
}

const session = Buffer.concat([
  frame('W', int(0, 1), int(0, 2)),
  keepalive(5),
  begin(700),
  relation(),
  insert('1', 'one'),
  data(letter('U'), int(7), letter('N'), tuple('1', undefined)),
  data(letter('U'), int(7), letter('K'), tuple('1', null), letter('N'), tuple('2', null)),
  data(letter('D'), int(7), letter('K'), tuple('2', null)),
  data(letter('T'), int(1), int(0, 1), int(7)),
  data(letter('M'), int(1, 1), int(9, 8), name('who'), int(4), letter('anna')),
  // An application that speaks as if it were us is not heard.
  data(letter('M'), int(1, 1), int(9, 8), name('naru.reject'), int(4), letter('none')),
  commit(10),
  data(letter('S'), int(800), int(1, 1)),
  relation(int(800)),
  insert('3', 'kept', int(800)),
  insert('4', 'gone', int(801)),
  data(letter('E')),
  data(letter('A'), int(800), int(801)),
  data(letter('S'), int(900), int(1, 1)),
  insert('5', 'gone too', int(900)),
  data(letter('E')),
  data(letter('A'), int(900), int(900)),
  data(letter('c'), int(800), int(0, 1), int(20, 8), int(20, 8), int(0, 8)),
  begin(701),
  insert('6', 'x'.repeat(500)),
  commit(30),
])

const expected = [
  ['insert', '1', 'one'],
  ['update', '1', undefined],
  ['delete', '1', null],
  ['move', '2', null],
  ['delete', '2', null],
  ['truncate', null, null],
  ['insert', '3', 'kept'],
  ['insert', '6', 'x'.repeat(500)],
]

describe('the decoder of the replication stream', () => {
  test.each([1, 2, 7, 64, 100_000])('gives the same changes however the bytes are split: %d at once', async size => {
    const { slices } = await decode(session, size)
    assert.deepEqual(
      slices.flatMap(eventsOf).map(({ op, row }) => [op, ...row]),
      expected,
    )
    assert.equal(slices.at(-1)?.position, '30')
    assert.deepEqual(
      slices.flatMap(it => [...it.transactions.ids]),
      [700n, 800n, 701n],
    )
    assert.deepEqual(
      slices.flatMap(it => it.messages.map(({ prefix }) => prefix)),
      ['who'],
    )
  })

  test.each([1, 5, 300, 100_000])('a row over the limit passes by: %d at once', async size => {
    const { slices } = await decode(session, size, 200)
    const rows = slices.flatMap(eventsOf).map(({ op, row }) => [op, ...row])
    assert.deepEqual(rows.at(-1), ['delete', '6', null])
    const told = slices.flatMap(it => it.messages).at(-1)
    assert.match(Buffer.from(told?.content ?? []).toString(), /500 of them in \\"note\\"; the limit is 200/)
  })

  test('of a table without a key, both rows of a large update are set aside and told', async () => {
    const large = 'x'.repeat(9_000)
    const bytes = Buffer.concat([
      begin(1),
      relation(),
      data(letter('U'), int(7), letter('O'), tuple('1', large), letter('N'), tuple('1', 'short')),
      data(letter('D'), int(7), letter('O'), tuple('2', large)),
      insert('3', 'kept'),
      commit(10),
    ])
    const { slices } = await decode(bytes, 1_000, 8_500, [])
    assert.deepEqual(
      slices.flatMap(eventsOf).map(({ op, row }) => [op, ...row]),
      [['insert', '3', 'kept']],
    )
    const told = slices.flatMap(it => it.messages.map(({ order, content }) => [order, Buffer.from(content).toString()]))
    assert.deepEqual(
      told.map(([order]) => order),
      [0, 1, 2],
    )
    assert.match(String(told[0]?.[1]), /the row before an update/)
  })

  test('damaged bytes are an error of the table, and cost neither time nor memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ at: fc.nat(session.length - 1), value: fc.nat(255) }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 200 }),
        async (damage, size) => {
          const bytes = Buffer.from(session)
          for (const { at, value } of damage) bytes[at] = value
          try {
            await decode(bytes, size, 300)
          } catch (error) {
            const told = streamError(error, {
              source: 'ops',
              address: 'x',
              url: 'postgres://a:b@c/d',
              user: 'a',
            } as Target)
            assert.ok(isNaruError(told), String(error))
            assert.ok(
              error instanceof Error && error.name !== 'TypeError' && error.name !== 'AssertionError',
              String(error),
            )
          }
        },
      ),
      { numRuns: 1_500 },
    )
  }, 180_000)

  test('columns that come and go are told before the rows that have them', async () => {
    const { found } = await decode(
      Buffer.concat([
        begin(1),
        relation(),
        insert('1', 'a'),
        commit(5),
        begin(2),
        relation(undefined, [['id', 20]]),
        data(letter('I'), int(7), letter('N'), tuple('2')),
        commit(9),
      ]),
      1_000,
    )
    expect(
      found.map(it =>
        it.kind === 'schema' ? ['schema', it.change.position, it.change.columns.map(c => c.name)] : it.kind,
      ),
    ).toEqual(['slice', ['schema', '5', ['id']], 'slice'])
  })
})

test('a view tells of the short numbers of the log, also when they began anew', () => {
  const seen = seenBy('4294967290:4294967300:4294967295')
  expect([4294967289n, 4294967294n, 4294967295n, 2n, 3n, 4n, 5n].map(seen)).toEqual([
    true,
    true,
    false,
    true,
    true,
    false,
    false,
  ])
  expect(seenBy('100:100:')(99n)).toBe(true)
})

test('positions are text and back, and order by their place', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n), (a, b) => {
      const of = (lsn: bigint): string => positionText({ system: '7', timeline: 1, publication: 16_000, lsn })
      assert.equal(parsePosition(of(a))?.lsn, a)
      assert.equal(Math.sign(comparePositions(of(a), of(b))), a < b ? -1 : a > b ? 1 : 0)
    }),
  )
  expect(lsnText(0x16_b374_d848n)).toBe('16/B374D848')
  expect(['', 'pg:1:2:3', 'pg:1:2:3:x/y', 'mysql:1'].map(parsePosition)).toEqual([null, null, null, null])
})

test('texts of times are the numbers of a batch, and what is none is none', () => {
  expect(dateOf('1970-01-01')).toBe(0)
  expect(dateOf('0001-12-31 BC')).toBe(-719_163)
  expect(stampOf('2000-01-01 00:00:00.5+00')).toBe(946_684_800_500_000n)
  expect(timeOf('24:00:00')).toBe(86_400_000_000)
  expect(intervalOf('-1 years -2 mons +3 days -04:05:06.7')).toEqual([-14, 3, -14_706_700_000n])
  expect([dateOf('x'), stampOf('2000-13'), timeOf('1:2'), intervalOf(''), intervalOf('infinity')]).toEqual([
    null,
    null,
    null,
    null,
    null,
  ])
})
