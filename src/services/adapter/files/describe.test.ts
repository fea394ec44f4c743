import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterEach, beforeEach, describe, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { typeText } from '../../../core/types.ts'
import { never } from '../../../testing/engine.ts'
import type { TableDescription } from '../contract.ts'
import { describedAvro } from './avro-described.ts'
import { parseAvroSchema } from './avro-schema.ts'
import { readDropped, refused } from './folder.test.support.ts'
import { openAdapter } from './open.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-describe-'))
  await mkdir(path.join(folder, 'in'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

let drops = 0
/** Drops a file that was finished long ago; a later one is newer. */
async function drop(name: string, content: string | Uint8Array): Promise<void> {
  const file = path.join(folder, 'in', name)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, content)
  const at = new Date(Date.parse('2026-01-01T00:00:00Z') + 1000 * drops++)
  await utimes(file, at, at)
}

async function makeParquet(name: string, select: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`copy (${select}) to '${path.join(folder, 'in', name)}' (format parquet)`)
  connection.closeSync()
  instance.closeSync()
}

async function described(): Promise<{
  readonly tables: readonly TableDescription[]
  readonly told: readonly string[]
}> {
  const adapter = await openAdapter({
    source: 'partner',
    options: { folder: path.join(folder, 'in'), settle: '1ms' },
    secret: () => assert.fail('a folder needs no secret'),
    configDir: import.meta.dirname,
    stateDir: path.join(folder, 'state'),
    env: realEnv(),
  })
  const told: string[] = []
  try {
    const tables = await adapter.describes?.describe(never, text => void told.push(text))
    return { tables: tables ?? assert.fail(), told }
  } finally {
    await adapter.close()
  }
}

/** `id: int64` for each column, `?` behind those that may be NULL. */
function columnsOf(table: TableDescription | undefined): readonly string[] {
  return (table?.columns ?? []).map(({ name, type, nullable }) => `${name}: ${typeText(type)}${nullable ? '?' : ''}`)
}

describe('a folder as tables', () => {
  test('files whose names differ in digits are one table, as the newest of them has it', async () => {
    await drop('orders_2026-01-02.csv', 'id,amount\n1,2.50\n')
    await drop('orders_2026-01-03.csv', 'id,amount,note\n1,2.50,\n2,3.00,x\n')
    const { tables, told } = await described()
    assert.deepEqual([tables.length, told], [1, []])
    assert.deepEqual(columnsOf(tables[0]), ['id: int64?', 'amount: decimal(18,2)?', 'note: text?'])
    const { name, shortName, key, rowsEstimate, columns } = tables[0] ?? assert.fail()
    assert.deepEqual([name, shortName, key, rowsEstimate], ['orders_*.csv', 'orders', [], null])
    assert.equal(columns[0]?.nativeType, 'text, looks like whole numbers (2 rows of orders_2026-01-03.csv)')
  })

  test.each([
    ['a;b\n1;x,y\n', ['a: int64?', 'b: text?']],
    ["'a','b'\n'1','x'\n", ['a: int64?', 'b: text?']],
    ['"a ""one""",b\r\n2024-02-29,true\r\n', ['a "one": date?', 'b: bool?']],
    ['a\tb\n', ['a: text?', 'b: text?']],
    ['\ufeffid|at\n1|2024-02-29T10:00:00Z\n', ['id: int64?', 'at: timestamp with time zone?']],
  ])('the header of CSV says how it is written: %j', async (content, columns) => {
    await drop('a.csv', content)
    assert.deepEqual(columnsOf((await described()).tables[0]), columns)
  })

  test('only the first thousand rows are looked at', async () => {
    const line = (_: unknown, i: number): string => (i < 1000 ? `${i}` : 'x')
    await drop('a.csv', `id\n${Array.from({ length: 1200 }, line).join('\n')}\n`)
    const [table] = (await described()).tables
    assert.match(table?.columns[0]?.nativeType ?? '', /^text, looks like whole numbers \(1,000 rows of a\.csv\)$/)
  })

  test('the members of JSON are columns, also those that only some objects have; a document as well as packed lines', async () => {
    await drop('a.ndjson.gz', zlib.gzipSync('{"id":1}\n{"id":9007199254740993,"tags":["x"]}\n'))
    await drop('b.json', '[{"id":"007"},{"on":true,"id":"8"}]')
    const { tables, told } = await described()
    assert.deepEqual(told, [])
    assert.deepEqual(tables.map(columnsOf), [
      ['id: int64?', 'tags: text?'],
      ['id: text?', 'on: bool?'],
    ])
  })

  test('a column of the path is text, whatever the file says of it', async () => {
    await drop('orders/day=2026-01-01/part-0.csv', 'id,day\n1,x\n')
    const { tables } = await described()
    assert.deepEqual(
      tables.map(it => [it.name, it.shortName]),
      [['orders/day=*/part-*.csv', 'orders']],
    )
    assert.deepEqual(columnsOf(tables[0]), ['id: int64?', 'day: text?'])
  })

  test('lines that are no rows do not decide a type, and are told', async () => {
    await drop('a.csv', 'id,n\n1,2\nthis is a remark\n3,4\n')
    const { tables, told } = await described()
    assert.deepEqual(columnsOf(tables[0]), ['id: int64?', 'n: int64?'])
    assert.deepEqual(told, ['a.csv: 1 among the first lines are no rows (LINE_RAGGED)'])
  })
})

describe('formats with types', () => {
  test('Parquet gives its own types, and reading with them loses nothing', async () => {
    const values = {
      small: ['(-1)::tinyint', 'int16'],
      whole: ['4294967295::uinteger', 'int64'],
      huge: ['18446744073709551615::ubigint', 'decimal(20,0)'],
      amount: ['1.25::decimal(9, 2)', 'decimal(9,2)'],
      ratio: ['0.5::float', 'float32'],
      flag: ['true', 'bool'],
      day: ["date '2024-02-29'", 'date'],
      moment: ["timestamptz '2024-02-29 00:00:00+00'", 'timestamp with time zone'],
      fine: ["timestamp_ns '2024-02-29 00:00:00.000001'", 'timestamp'],
      raw: ["'\\x00'::blob", 'bytes'],
      who: ["'00000000-0000-0000-0000-000000000001'::uuid", 'uuid'],
      list: ['[1, 2]', 'json'],
      word: ["'x'", 'text'],
    } as const
    const select = Object.entries(values).map(([name, [value]]) => `${value} as "${name}"`)
    await makeParquet('all.parquet', `select ${select.join(', ')}`)
    const [table] = (await described()).tables
    assert.deepEqual(
      columnsOf(table),
      Object.entries(values).map(([name, [, type]]) => `${name}: ${type}?`),
    )
    const content = await readFile(path.join(folder, 'in/all.parquet'))
    const read = await readDropped('all.parquet', content, {
      format: { kind: 'parquet' },
      columns: table?.columns ?? [],
    })
    assert.deepEqual([read.rows.length, read.rejects], [1, []])
  })

  test.each([
    ['boolean', 'bool'],
    ['int', 'int32'],
    [['null', 'long'], 'int64?'],
    [['long', 'string'], 'json'],
    [{ type: 'int', logicalType: 'date' }, 'date'],
    [{ type: 'long', logicalType: 'time-micros' }, 'time'],
    [{ type: 'long', logicalType: 'timestamp-millis' }, 'timestamp with time zone'],
    [{ type: 'long', logicalType: 'local-timestamp-micros' }, 'timestamp'],
    [{ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, 'decimal(9,2)'],
    [{ type: 'bytes', logicalType: 'decimal', precision: 60, scale: 2 }, 'text'],
    [{ type: 'fixed', name: 'f', size: 16, logicalType: 'uuid' }, 'uuid'],
    [{ type: 'fixed', name: 'f', size: 4 }, 'bytes'],
    [{ type: 'enum', name: 'e', symbols: ['A', 'B'] }, 'enum(A, B)'],
    [{ type: 'array', items: 'int' }, 'json'],
  ])('Avro %j is %s', (given, wanted) => {
    const { type, nullable } = describedAvro(parseAvroSchema(JSON.stringify(given), 'a.avro'))
    assert.equal(`${typeText(type)}${nullable ? '?' : ''}`, wanted)
  })
})

describe('what is left out is told, and the others go on', () => {
  test.each([
    ['broken.parquet', 'PAR1 and no more', 'broken.parquet is left out: file "broken.parquet" cannot be read'],
    ['broken.avro', 'none', 'it is no Avro object container file'],
    ['broken.csv.gz', 'none', 'it is called gzip and is none'],
    ['object.json', '{"items":[]}', 'no array where the objects should be'],
    ['values.csv', '1,2026-01-01\n2,2026-01-02\n', 'its first line has values and no names'],
    ['fixed.txt', 'A 001 x\nB 002 y\n', 'a table of fixed width is written by hand'],
    ['korean.csv', Buffer.from('b0a1,b3aa0a', 'hex'), 'its names are no text in utf-8'],
    ['twice.csv', 'a,a\n1,2\n', 'has column "a" more than once'],
    ['empty.csv', '', 'it names no column'],
    ['notes.pdf', 'x', 'by their names no data: notes.pdf'],
    ['sent.csv.part', 'a\n1\n', 'sent.csv.part is left out: its name says that it is being written'],
  ])('%s', async (name, content, why) => {
    await drop('good.csv', 'id\n1\n')
    await drop(name, content)
    const { tables, told } = await described()
    assert.deepEqual(
      tables.map(it => it.name),
      ['good.csv'],
    )
    assert.equal(told.length, 1)
    assert.ok(told[0]?.includes(why), told[0])
  })

  // Root may read everything: there is nothing to try then.
  const ordinary = process.getuid?.() !== 0 ? test : () => {}
  ordinary('a file that this account may not read', async () => {
    await drop('good.csv', 'id\n1\n')
    await drop('closed.csv', 'id\n1\n')
    await chmod(path.join(folder, 'in/closed.csv'), 0)
    const { tables, told } = await described()
    assert.deepEqual([tables.length, told.length], [1, 1])
    assert.match(told[0] ?? '', /^closed\.csv is left out: /)
  })

  test('names of more than 50 kinds: the newest are taken', async () => {
    const letters = [...'abcdefghijklmnopqrstuvwxyz']
    for (const one of letters) await drop(`${one}_a.csv`, 'id\n1\n')
    for (const one of letters) await drop(`${one}_b.csv`, 'id\n1\n')
    const { tables, told } = await described()
    assert.equal(tables.length, 50)
    assert.deepEqual(told, ['more than 50 kinds of names, so the older are left out: b_a.csv, a_a.csv'])
  })

  test('a pattern that takes the files of another table too', async () => {
    await drop('in_1.csv', 'id\n1\n')
    await drop('in_eu_1.csv', 'id\n1\n')
    assert.deepEqual((await described()).told, ['in_*.csv also matches the files of in_eu_*.csv: narrow it'])
  })

  test('a folder in which nothing is left is an error that says why', async () => {
    await assert.rejects(described(), refused('SOURCE_FOLDER_EMPTY', 'there is no file'))
    await drop('a.parquet', 'none')
    await assert.rejects(described(), refused('SOURCE_FOLDER_EMPTY', 'a.parquet is left out'))
  })
})
