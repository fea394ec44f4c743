import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { joinParquet } from './parquet-join.ts'
import { readStruct, writeStruct } from './thrift.ts'

const env = realEnv()
let folder = ''
let database: DuckDBInstance
let connection: DuckDBConnection

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-join-'))
  database = await DuckDBInstance.create(':memory:')
  connection = await database.connect()
})

afterAll(async () => {
  connection.closeSync()
  database.closeSync()
  await rm(folder, { recursive: true })
})

async function rows(statement: string): Promise<readonly unknown[]> {
  return (await connection.runAndReadAll(statement)).getRowObjectsJson()
}

/** A part with rows `from` to `to`: texts that repeat (a dictionary and its filter), that do not, NULLs, numbers. */
async function part(name: string, from: number, to: number, options = 'compression snappy'): Promise<string> {
  const file = path.join(folder, `${name}.parquet`)
  await connection.run(`copy (select i, 'kind ' || i % 7 as kind, 'comment on ' || i as comment,
      case when i % 3 = 0 then null else i::decimal(30,4) / 8 end as price, date '2026-01-01' + (i % 900)::int as day
    from range(${from}, ${to}) t(i)) to '${file}' (format parquet, row_group_size 4096, ${options})`)
  return file
}

async function join(files: readonly string[]): Promise<string> {
  const file = path.join(folder, 'joined.parquet')
  const pieces: Uint8Array[] = []
  for await (const piece of joinParquet(env, files)) pieces.push(piece)
  await writeFile(file, Buffer.concat(pieces))
  return file
}

describe('joined Parquet files', () => {
  test('have every row of their parts, in their order, with statistics and filters that still find them', async () => {
    const parts = [await part('a', 0, 10_000), await part('b', 10_000, 10_001), await part('c', 10_001, 30_000)]
    const file = await join(parts)
    const list = parts.map(it => `'${it}'`).join(', ')
    expect(await rows(`select * from '${file}'`)).toEqual(await rows(`select * from read_parquet([${list}])`))
    expect(await rows(`select i::int as i from '${file}' where comment = 'comment on 20000'`)).toEqual([{ i: 20_000 }])
    const probed = await rows(`select count(*)::int as n from parquet_bloom_probe('${file}', 'kind', 'kind 3')
      where not bloom_filter_excludes`)
    expect(probed).toEqual(
      await rows(`select count(*)::int as n from parquet_bloom_probe([${list}], 'kind', 'kind 3')
      where not bloom_filter_excludes`),
    )
  })

  test('of one part are that part', async () => {
    const only = await part('only', 0, 5_000)
    expect(await rows(`select * from '${await join([only])}'`)).toEqual(await rows(`select * from '${only}'`))
  })

  test('may be compressed in different ways', async () => {
    const file = await join([
      await part('lz4', 0, 9_000, 'compression lz4_raw'),
      await part('zstd', 9_000, 9_500, 'compression zstd'),
    ])
    expect(await rows(`select count(*)::int as n, sum(i)::int as i from '${file}'`)).toEqual([
      { n: 9_500, i: 45_120_250 },
    ])
  })

  test('with other columns, or cut off, are refused', async () => {
    const one = await part('one', 0, 10)
    const other = path.join(folder, 'other.parquet')
    await connection.run(`copy (select 1 as x) to '${other}' (format parquet)`)
    await expect(join([one, other])).rejects.toThrow('different columns')
    await truncate(other, 40)
    await expect(join([one, other])).rejects.toThrow('is not Parquet')
  })
})

describe('a struct of Thrift', () => {
  test('is written as it was read', async () => {
    const bytes = await readFile(await part('facts', 0, 20_000))
    const facts = bytes.subarray(bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8), bytes.length - 8)
    expect(writeStruct(readStruct(facts))).toEqual(Buffer.from(facts))
  })

  test('of hostile bytes is refused with an error, in any form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        try {
          writeStruct(readStruct(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
    )
  })
})
