import assert from 'node:assert/strict'
import zlib from 'node:zlib'
import { describe, test } from 'vitest'
import avsc from 'avsc'
import { columnsOf, readDropped, refused } from './folder.test.support.ts'

const format = { kind: 'avro' } as const
const sync = Buffer.alloc(16, 7)

/** A number as Avro writes it. */
function long(value: number | bigint): Buffer {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  const bytes: number[] = []
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

const text = (value: string | Buffer): Buffer => Buffer.concat([long(Buffer.byteLength(value)), Buffer.from(value)])

/** A container file of one block, made by hand. */
function container(
  schema: unknown,
  block: { readonly count: number | bigint; readonly data: Buffer },
  codec = 'null',
): Buffer {
  const meta = [text('avro.schema'), text(JSON.stringify(schema)), text('avro.codec'), text(codec)]
  const head = Buffer.concat([Buffer.from('Obj\u0001', 'latin1'), long(2), ...meta, long(0), sync])
  return Buffer.concat([head, long(block.count), long(block.data.length), block.data, sync])
}

function record(type: unknown): unknown {
  return { type: 'record', name: 'r', fields: [{ name: 'a', type }] }
}

const a = columnsOf({ a: 'text' })

describe('an Avro file that is made to do harm', () => {
  test.each([
    ['a text of 1.5 GB in 4 bytes', 'string', long(1_500_000_000), 'does not fit'],
    ['a text of negative length', 'string', long(-5), 'does not fit'],
    ['a length that no number holds', 'string', long(2n ** 62n), 'out of all bounds'],
    ['a number without end', 'long', Buffer.alloc(20, 255), 'more than 10 bytes'],
    [
      'a list of a billion nothings',
      { type: 'array', items: 'null' },
      Buffer.concat([long(1e9), long(0)]),
      'maxElements',
    ],
    ['a union branch that is not there', ['null', 'long'], long(7), 'lacks'],
    ['an enum symbol that is not there', { type: 'enum', name: 'e', symbols: ['x'] }, long(-1), 'lacks'],
    ['data behind the last object', 'long', Buffer.from([2, 2, 2]), 'more data'],
  ])('%s', async (_, type, data, why) => {
    const before = process.memoryUsage().rss
    const file = container(record(type), { count: 1, data })
    await assert.rejects(readDropped('x.avro', file, { format, columns: a }), refused('FILE_DAMAGED', why))
    assert.ok(process.memoryUsage().rss - before < 200 << 20)
  })

  test('a tree that is deeper than the limit', async () => {
    const node = { type: 'record', name: 'n', fields: [{ name: 'next', type: ['null', 'n'] }] }
    const file = container(record(node), { count: 1, data: Buffer.concat([...Array(5000).fill(long(1)), long(0)]) })
    await assert.rejects(readDropped('x.avro', file, { format, columns: a }), refused('FILE_DAMAGED', 'maxDepth'))
  })

  test('a billion rows of no bytes stop at the limit', async () => {
    const file = container(record('null'), { count: 1_000_000_000, data: Buffer.alloc(0) })
    const read = readDropped('x.avro', file, { format, columns: a }, { maxRows: 100_000 })
    await assert.rejects(read, refused('FILE_LIMIT', 'maxRows'))
  })

  test('a block that unpacks to more than a block may have', async () => {
    const data = zlib.deflateRawSync(Buffer.alloc(100 << 20))
    const file = container(record('long'), { count: 1, data }, 'deflate')
    await assert.rejects(readDropped('x.avro', file, { format, columns: a }), refused('FILE_DAMAGED'))
  })

  test('a block that says it is longer than any may be is refused before it is read', async () => {
    const whole = container(record('long'), { count: 1, data: Buffer.alloc(0) })
    const file = Buffer.concat([whole.subarray(0, -18), long(1), long(2 ** 40)])
    await assert.rejects(readDropped('x.avro', file, { format, columns: a }), refused('FILE_LIMIT', 'block'))
  })

  test.each([
    ['no Avro', Buffer.from('hello')],
    ['cut in the header', container(record('long'), { count: 1, data: long(1) }).subarray(0, 30)],
    ['cut in a block', container(record('long'), { count: 1, data: long(1) }).subarray(0, -3)],
    ['a schema that names a type it lacks', container(record('java.lang.Runtime'), { count: 1, data: long(1) })],
    ['a codec that is not read', container(record('long'), { count: 1, data: long(1) }, 'bzip2')],
    [
      'broken Snappy',
      container(record('long'), { count: 1, data: Buffer.from('ffffffff00ffffffff', 'hex') }, 'snappy'),
    ],
  ])('%s', async (_, file) => {
    await assert.rejects(readDropped('x.avro', file, { format, columns: a }), refused('FILE_DAMAGED', 'x.avro'))
  })
})

test('a value that its column cannot hold makes a reject of its row, and the next is read', async () => {
  const schema = {
    type: 'record' as const,
    name: 'r',
    fields: [
      { name: 'id', type: 'long' as const },
      { name: 'note', type: { type: 'array' as const, items: 'double' as const } },
    ],
  }
  const type = avsc.Type.forSchema(schema)
  const rows = [
    { id: 1, note: [1.5] },
    { id: 3_000_000_000, note: [] },
    { id: 2, note: [Number.NaN] },
    { id: -4, note: [] },
  ]
  const data = Buffer.concat(rows.map(row => type.toBuffer(row)))
  const columns = columnsOf({ id: { kind: 'int', bits: 32 }, note: 'json' })
  const got = await readDropped('x.avro', container(schema, { count: rows.length, data }), { format, columns })
  assert.deepEqual(got.rows, [
    ['1', '[1.5]'],
    ['-4', '[]'],
  ])
  assert.deepEqual(
    got.rejects.map(it => [it.reason, it.line, it.detail, it.content]),
    [
      ['VALUE_NOT_IN_TYPE', 2, 'id: it does not fit into 32 bits', '3000000000'],
      ['VALUE_NOT_IN_TYPE', 3, 'note: it is no number of JSON', 'NaN'],
    ],
  )
})
