import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'

/** The bytes of a Parquet file with the rows of a query. */
export async function makeParquet(query: string): Promise<Uint8Array> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-parquet-'))
  const instance = await DuckDBInstance.create(':memory:')
  try {
    const connection = await instance.connect()
    const file = path.join(folder, 'x.parquet')
    await connection.run(`copy (${query}) to '${file}' (format parquet)`)
    connection.closeSync()
    return await readFile(file)
  } finally {
    instance.closeSync()
    await rm(folder, { recursive: true, force: true })
  }
}
