import native from '@duckdb/node-bindings'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nextChunk } from './fetch.ts'

let connection: native.Connection

beforeAll(async () => {
  connection = await native.connect(await native.open(':memory:', native.create_config()))
})

afterAll(() => native.disconnect_sync(connection))

async function start(text: string): Promise<native.Result> {
  const prepared = await native.prepare(connection, text)
  return native.execute_prepared_streaming(prepared)
}

async function count(result: native.Result): Promise<number> {
  let rows = 0
  for (let chunk = await nextChunk(result); chunk !== null; chunk = await nextChunk(result))
    rows += native.data_chunk_get_size(chunk)
  return rows
}

describe('rows that are streamed', () => {
  test('end behind the last', async () => {
    expect(await count(await start('select i from range(300000) r(i)'))).toBe(300_000)
    expect(await count(await start('select i from range(10) r(i) where i > 100'))).toBe(0)
  })

  test('that fail on the way end with an error, and not as if they were all', async () => {
    const broken = start(`select if(i = 290000, 'x', i::varchar)::integer from range(300000) r(i)`)
    await expect(count(await broken)).rejects.toThrow('broke off')
  })

  test('that are interrupted end with an error', async () => {
    const result = await start('select i from range(10000000) r(i)')
    await nextChunk(result)
    native.interrupt(connection)
    await expect(count(result)).rejects.toThrow('broke off')
  })

  test('give the reason where it can be found again', async () => {
    const result = await start(`select if(i = 290000, 'x', i::varchar)::integer from range(300000) r(i)`)
    const reason = new Error('the reason')
    const all = async (): Promise<void> => {
      while ((await nextChunk(result, () => Promise.reject(reason))) !== null);
    }
    await expect(all()).rejects.toBe(reason)
  })
})
