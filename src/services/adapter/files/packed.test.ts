import assert from 'node:assert/strict'
import zlib from 'node:zlib'
import { describe, test } from 'vitest'
import { columnsOf, csv, readDropped, refused } from './folder.test.support.ts'

const shape = { columns: columnsOf({ a: 'text', b: 'text' }), format: csv }
const text = 'a,b\n1,2\n3,4\n'
const rows = [
  ['1', '2'],
  ['3', '4'],
]

/** `text`, packed by the zstd tool: one frame of one raw block with a checksum of its content left out. */
const zstd = Buffer.from('28b52ffd200c610000612c620a312c320a332c340a', 'hex')

interface Member {
  readonly name: string
  readonly content: string
  readonly attributes?: number
  readonly flags?: number
  readonly crc?: number
}

/** A zip archive of stored members: made by hand, so that names and sums may be anything. */
function zip(...members: readonly Member[]): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const { name, content, attributes = 0, flags = 0, crc } of members) {
    const sum = crc ?? zlib.crc32(content)
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt16LE(flags, 2)
    fields.writeUInt32LE(sum, 10)
    fields.writeUInt32LE(content.length, 14)
    fields.writeUInt32LE(content.length, 18)
    fields.writeUInt16LE(Buffer.byteLength(name), 22)
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(attributes, 6)
    tail.writeUInt32LE(at, 10)
    const local = Buffer.concat([Buffer.from('504b0304', 'hex'), fields, Buffer.from(name), Buffer.from(content)])
    directory.push(Buffer.concat([Buffer.from('504b01021400', 'hex'), fields, tail, Buffer.from(name)]))
    parts.push(local)
    at += local.length
  }
  const end = Buffer.alloc(22)
  end.write('504b0506', 'hex')
  end.writeUInt16LE(members.length, 8)
  end.writeUInt16LE(members.length, 10)
  end.writeUInt32LE(Buffer.concat(directory).length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, ...directory, end])
}

describe('a packed file is read by what it is', () => {
  test.each([
    ['x.csv.gz', zlib.gzipSync(text)],
    ['no ending', zlib.gzipSync(text)],
    ['x.csv.gz', Buffer.concat([zlib.gzipSync(text.slice(0, 5)), zlib.gzipSync(text.slice(5))])],
    ['x.csv.gz', Buffer.concat([zlib.gzipSync(text), Buffer.alloc(100)])],
    ['x.csv.zst', zstd],
    ['x.csv.zip', zip({ name: 'x.csv', content: text })],
  ])('%s', async (name, content) => {
    assert.deepEqual((await readDropped(name, content, shape)).rows, rows)
  })

  test('every member of an archive that matches is a part of its own', async () => {
    const archive = zip(
      { name: 'mon/x.csv', content: text },
      { name: 'mon/', content: '' },
      { name: 'readme.txt', content: 'x' },
      { name: '__MACOSX/x.csv', content: 'x' },
      { name: 'y.csv', content: 'b,a\n6,5\nragged\n' },
    )
    const got = await readDropped('x.zip', archive, { ...shape, members: '**/*.csv' })
    assert.deepEqual(got.parts, ['x.zip/mon/x.csv', 'x.zip/y.csv'])
    assert.deepEqual(got.rows, [...rows, ['5', '6']])
    assert.deepEqual(
      got.rejects.map(it => it.line),
      [3],
    )
  })
})

describe('a packed file that is not sound is refused', () => {
  const whole = zlib.gzipSync(text)
  test.each([
    ['cut', 'x.csv.gz', whole.subarray(0, -6)],
    ['broken', 'x.csv.gz', Buffer.concat([whole.subarray(0, 12), Buffer.from('xxxx'), whole.subarray(16)])],
    ['with other bytes behind it', 'x.csv.gz', Buffer.concat([whole, Buffer.from('x,y\n')])],
    ['not what its name says', 'x.csv.gz', Buffer.from(text)],
    ['a cut zstd frame', 'x.csv.zst', zstd.subarray(0, -3)],
    ['a zip without its directory', 'x.zip', zip({ name: 'x.csv', content: text }).subarray(0, 60)],
    ['a member with another checksum', 'x.zip', zip({ name: 'x.csv', content: text, crc: 1 })],
  ])('%s', async (_, name, content) => {
    await assert.rejects(readDropped(name, content, shape), refused('FILE_DAMAGED', name))
  })

  test.each([
    ['../x.csv', {}, '../x.csv'],
    ['/etc/x.csv', {}, '/etc/x.csv'],
    ['a/../../x.csv', {}, '..'],
    ['a\\..\\x.csv', {}, '\\'],
    ['C:/x.csv', {}, 'C:'],
    ['x.csv', { attributes: (0o120777 << 16) >>> 0 }, 'link'],
    ['x.csv', { flags: 1 }, 'x.zip'],
  ])('an archive with the member %s %j', async (name, more, why) => {
    const archive = zip({ name: 'good.csv', content: text }, { name, content: text, ...more })
    await assert.rejects(readDropped('x.zip', archive, shape), refused('FILE_MEMBER', why))
  })

  test('an archive in which nothing matches', async () => {
    const archive = zip({ name: 'x.txt', content: text })
    await assert.rejects(readDropped('x.zip', archive, { ...shape, members: '*.csv' }), refused('FILE_MEMBER', '*.csv'))
  })
})

describe('bombs', () => {
  const bomb = zlib.gzipSync(Buffer.concat([Buffer.from('a,b\n'), Buffer.alloc(100 << 20, '1,2\n')]))

  test('a small file that unpacks to more than 64 MiB and 200 times its size stops there', async () => {
    const before = process.memoryUsage().rss
    await assert.rejects(readDropped('x.csv.gz', bomb, shape), refused('FILE_LIMIT', 'unpacked', 'maxExpansion'))
    assert.ok(process.memoryUsage().rss - before < 700 << 20)
  })

  test('who knows the file may raise the limit', async () => {
    const small = { ...shape, columns: columnsOf({ a: 'text' }) }
    const text = zlib.gzipSync(Buffer.concat([Buffer.from('a\n'), Buffer.alloc(70 << 20, `${'x'.repeat(9999)}\n`)]))
    await assert.rejects(readDropped('x.csv.gz', text, small), refused('FILE_LIMIT'))
    assert.equal((await readDropped('x.csv.gz', text, small, { maxExpansion: 2000 })).rows.length, 7341)
  })
})
