import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { cellText } from '../../src/core/cell-text.ts'
import { writtenFile } from '../../src/services/adapter/files/writer.test.support.ts'
import type { WrittenFile } from '../../src/services/adapter/contract-writes.ts'
import { batchOf, column } from '../../src/testing/suite/batches.ts'
import { needPython } from '../servers/install.ts'

// What `naru transfer` writes, as the readers of Python have it.

let folder: string
let python: string
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'naru-written-'))
  python = needPython('files', 'pyarrow==26.0.1', 'fastavro==1.13.1', 'pandas==3.1.1', 'cramjam==2.14.0')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What a script prints as JSON of the file, whose path is `sys.argv[1]`. */
function printed(content: Buffer, script: string, ...args: readonly string[]): unknown {
  const file = path.join(folder, 'written')
  writeFileSync(file, content)
  const ended = spawnSync(python, ['-c', `import json, sys\n${script}`, file, ...args], { encoding: 'utf8' })
  assert.equal(ended.status, 0, ended.stderr)
  return JSON.parse(ended.stdout)
}

const text = column('note', { kind: 'text' })
const number = column('id', { kind: 'int', bits: 64 })

describe('CSV that was written is read exactly by the csv module of Python', () => {
  const hard = [
    '\\N',
    '',
    'a;b',
    'a,b',
    'a\tb',
    'say "x"',
    "it's",
    '|',
    'line\nend',
    'cr\rend',
    ' x ',
    '\ufeffx',
    '한글',
    'back\\slash\\',
    '\\"',
    '\\,',
  ]

  test.each<WrittenFile>([
    {},
    { delimiter: ';', nullText: '\\N', header: false },
    { delimiter: '\t', quote: "'", nullText: 'NULL' },
    { delimiter: '|', quote: '#', header: false },
    { escape: '\\', nullText: 'NULL' },
    { delimiter: '\x01', nullText: '\\N' },
  ])('%j', async file => {
    const texts = [...hard, file.nullText ?? '', file.delimiter ?? ',', null]
    const ids = texts.map((_, i) => BigInt(i))
    const content = await writtenFile('x.csv', { columns: [text, number], values: [texts, ids] }, file)
    const script = `import csv
with open(sys.argv[1], newline='', encoding='utf-8') as f: print(json.dumps(list(csv.reader(f, delimiter=sys.argv[2], quotechar=sys.argv[3], escapechar=sys.argv[4] or None, doublequote=not sys.argv[4], strict=True))))`
    const rows = texts.map((it, i) => [it ?? file.nullText ?? '', String(i)])
    const expected = file.header === false ? rows : [['note', 'id'], ...rows]
    assert.deepEqual(printed(content, script, file.delimiter ?? ',', file.quote ?? '"', file.escape ?? ''), expected)
  })
})

test('Avro that was written is read exactly by fastavro, with its types', async () => {
  const columns = [
    column('b', { kind: 'bool' }),
    column('i', { kind: 'int', bits: 16 }),
    column('l', { kind: 'int', bits: 64 }),
    column('f', { kind: 'float', bits: 64 }),
    column('d', { kind: 'decimal', precision: 38, scale: 10 }),
    column('t', { kind: 'text' }),
    column('x', { kind: 'bytes' }),
    column('u', { kind: 'uuid' }),
    column('day', { kind: 'date' }),
    column('time', { kind: 'time' }),
    column('at', { kind: 'timestamp', zoned: true }),
    column('local', { kind: 'timestamp', zoned: false }),
  ]
  const most = 10n ** 38n - 1n
  const values = [
    [true, false, null],
    [-32_768n, 32_767n, null],
    [-(2n ** 63n), 2n ** 63n - 1n, null],
    [0.1, -1e300, null],
    [-most, most, null],
    ['', '한글 "x"', null],
    [new Uint8Array([0, 255]), new Uint8Array(0), null],
    ['00000000-0000-0000-0000-000000000001', 'ffffffff-ffff-4fff-bfff-ffffffffffff', null],
    [-1n, 20_000n, null],
    [0n, 86_399_999_999n, null],
    [-1n, 1_700_000_000_000_001n, null],
    [1n, 1_700_000_000_123_456n, null],
  ]
  for (const compression of ['deflate', 'none']) {
    const content = await writtenFile('x.avro', { columns, values }, { compression })
    const script = `import fastavro, decimal
def said(v):
  if v is None: return None
  if isinstance(v, bool): return 'true' if v else 'false'
  if isinstance(v, bytes): return '\\\\x' + v.hex()
  if isinstance(v, decimal.Decimal): return format(v, 'f')
  if isinstance(v, float): return float(v)
  return str(v)
with open(sys.argv[1], 'rb') as f: print(json.dumps([[said(v) for v in row.values()] for row in fastavro.reader(f)]))`
    const batch = batchOf(columns, values)
    const expected = [0, 1, 2].map(row =>
      columns.map(({ type }, c) => {
        const cell = cellText(type, batch.columns[c] as (typeof batch.columns)[number], row)
        return type.kind === 'float' && cell !== null
          ? Number(cell)
          : type.kind === 'timestamp' && type.zoned
            ? (cell?.replace('+00', '+00:00') ?? null)
            : cell
      }),
    )
    assert.deepEqual(printed(content, script), expected)
  }
})

test.each(['zstd', 'gzip', 'none'])(
  'Parquet that was written in %s says so, and pyarrow reads it',
  async compression => {
    const values = [
      Array.from({ length: 1000 }, (_, i) => `note ${i}`),
      Array.from({ length: 1000 }, (_, i) => BigInt(i)),
    ]
    const content = await writtenFile('x.parquet', { columns: [text, number], values }, { compression }, 2)
    const script = `import pyarrow.parquet as pq
f = pq.ParquetFile(sys.argv[1])
print(json.dumps([f.metadata.row_group(1).column(0).compression, f.read().num_rows, f.read().column('note')[1999].as_py()]))`
    const name = compression === 'none' ? 'UNCOMPRESSED' : compression.toUpperCase()
    assert.deepEqual(printed(content, script), [name, 2000, 'note 999'])
  },
)

test.each(['x.csv.zst', 'x.ndjson.zst'])('%s is unpacked by another reader of zstd', async name => {
  const content = await writtenFile(name, {
    columns: [text, number],
    values: [
      ['a', 'b'],
      [1n, 2n],
    ],
  })
  const script = `import cramjam
print(json.dumps(bytes(cramjam.zstd.decompress(open(sys.argv[1], 'rb').read())).decode()))`
  const plain = await writtenFile(name.replace('.zst', ''), {
    columns: [text, number],
    values: [
      ['a', 'b'],
      [1n, 2n],
    ],
  })
  assert.equal(printed(content, script), plain.toString())
})
