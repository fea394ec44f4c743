import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { ColumnType } from '../../src/core/types.ts'
import type { FileFormat } from '../../src/services/adapter/contract-files.ts'
import { columnsOf, csv, readDropped, refused } from '../../src/services/adapter/files/folder.test.support.ts'
import { needPython } from '../servers/install.ts'

interface Expected {
  readonly format: 'csv' | 'ndjson' | 'json' | 'parquet' | 'avro'
  readonly encoding?: string
  readonly columns: readonly (readonly [string, ColumnType])[]
  readonly rows: readonly (readonly (string | null)[])[]
  /** Numbers of the rows that must be rejected. */
  readonly rejected?: readonly number[]
}

const formats: Readonly<Record<Expected['format'], FileFormat>> = {
  csv,
  ndjson: { kind: 'ndjson' },
  json: { kind: 'json', path: [] },
  parquet: { kind: 'parquet' },
  avro: { kind: 'avro' },
}

let folder: string
let files: Readonly<Record<string, Expected>>

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'naru-made-'))
  const python = needPython('files', 'pyarrow==26.0.1', 'fastavro==1.13.1', 'pandas==3.1.1', 'cramjam==2.14.0')
  const made = spawnSync(python, [path.join(import.meta.dirname, '../servers/make_files.py'), folder], {
    encoding: 'utf8',
  })
  assert.equal(made.status, 0, made.stderr)
  files = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as typeof files
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function read(name: string, types?: Readonly<Record<string, ColumnType>>): ReturnType<typeof readDropped> {
  const { format, encoding = 'utf-8', columns } = files[name] as Expected
  const content = readFileSync(path.join(folder, name))
  return readDropped(name, content, {
    format: formats[format],
    columns: columnsOf(types ?? Object.fromEntries(columns)),
    encoding,
  })
}

describe('files of other tools arrive value by value', () => {
  const parquet = ['none', 'snappy', 'zstd', 'gzip'].flatMap(codec => [`v1-${codec}.parquet`, `v2-${codec}.parquet`])
  test.each([
    ...parquet,
    ...['plain', 'nanos', 'nested', 'pandas', 'many'].map(name => `${name}.parquet`),
    ...['null', 'deflate', 'snappy', 'many'].map(name => `${name}.avro`),
    ...['cp949', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-8-sig'].map(name => `pandas-${name}.csv`),
    'sjis.csv',
    'latin1.csv',
    'pandas.csv.gz',
    'pandas.csv.zip',
    'tool.csv.zst',
    'tool.zip',
    'lines.ndjson',
    'records.json',
  ])('%s', async name => {
    const { rows, rejected = [] } = files[name] as Expected
    const got = await read(name)
    assert.deepEqual(got.rows, rows)
    assert.deepEqual(
      got.rejects.map(it => it.line),
      rejected,
    )
  })
})

describe('types that are declared otherwise than they are', () => {
  const id: ColumnType = { kind: 'int', bits: 32 }
  test.each(['v2-zstd.parquet', 'snappy.avro'])(
    '%s: what fits exactly arrives, what does not is rejected',
    async name => {
      const narrow = await read(name, { id, price: { kind: 'decimal', precision: 9, scale: 2 } })
      assert.deepEqual(narrow.rows, [
        ['3', '0.00'],
        ['4', null],
      ])
      assert.deepEqual(
        narrow.rejects.map(it => [it.line, it.reason]),
        [
          [1, 'VALUE_NOT_IN_TYPE'],
          [2, 'VALUE_NOT_IN_TYPE'],
        ],
      )
      const float = await read(name, { id, n: { kind: 'float', bits: 64 } })
      assert.deepEqual(
        float.rejects.map(it => it.line),
        [1, 3],
      )
      const text = await read(name, { id, n: { kind: 'text' }, price: { kind: 'text' } })
      assert.equal(text.rows[0]?.[1], '9223372036854775807')
      assert.equal(text.rows[1]?.[2], '-0.001')
    },
  )

  test.each(['v2-zstd.parquet', 'snappy.avro'])(
    '%s: a type that has nothing to do with it stops the file',
    async name => {
      await assert.rejects(
        read(name, { id, name: { kind: 'bool' }, day: { kind: 'bool' } }),
        error => error instanceof Error,
      )
      await assert.rejects(read(name, { id, day: { kind: 'bool' } }), refused('FILE_TYPE', 'day', 'bool'))
      await assert.rejects(read(name, { id, nope: { kind: 'text' } }), refused('FILE_COLUMN_MISSING', 'nope'))
    },
  )
})

describe('files that are made to do harm', () => {
  test('a Parquet file of 400 MB in a few kilobytes stops at its expansion', async () => {
    const content = readFileSync(path.join(folder, 'bomb.parquet'))
    assert.ok(content.length < 1 << 20)
    const shape = { format: formats.parquet, columns: columnsOf({ t: 'text' }) }
    await assert.rejects(readDropped('x.parquet', content, shape), refused('FILE_LIMIT', 'maxExpansion'))
    await assert.rejects(readDropped('x.parquet', content, shape, { maxRows: 1000 }), refused('FILE_LIMIT', 'maxRows'))
  })

  test('a Parquet file that is cut, or has other bytes in it, is refused and nothing else happens', async () => {
    const whole = readFileSync(path.join(folder, 'v1-snappy.parquet'))
    const shape = { format: formats.parquet, columns: columnsOf({ id: { kind: 'int', bits: 32 }, name: 'text' }) }
    for (const cut of [4, 100, whole.length - 5]) {
      await assert.rejects(readDropped('x.parquet', whole.subarray(0, cut), shape), refused('FILE_DAMAGED'))
    }
  })

  test('a large file of the world: three million flights', async () => {
    const flights = new URL('../../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url)
    const columns = columnsOf({ origin: 'text', distance: { kind: 'int', bits: 32 } })
    const got = await readDropped('x.parquet', readFileSync(flights), { format: formats.parquet, columns })
    assert.equal(got.rows.length + got.rejects.length, 3_000_000)
  })
})
