// One way to bring a CSV file into a native table: node read.mjs duckdb|naru <file> <database> <rows>.
// The file is taken as it lies: copying it to the spool with its checksum is not part of reading it.
import { mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { realEnv } from '../../dist/core/env.js'
import { rawSql, sql } from '../../dist/core/sql.js'
import { openAdapter } from '../../dist/services/adapter/files/open.js'
import { openEngine } from '../../dist/services/engine/duckdb/open.js'
import { receive } from '../../dist/etl/interface/receive.js'
import { createLanding } from '../../dist/run/landing.js'
import { stagingNames } from '../../dist/run/tables.js'
import { statSync } from 'node:fs'

const [how, file, database, rows] = process.argv.slice(2)
const names = Array.from({ length: 16 }, (_, i) => `c${i}`)
await (how === 'duckdb' ? readCsv() : readNaru())

async function readCsv() {
  const instance = await DuckDBInstance.create(database, { memory_limit: '2GB' })
  const connection = await instance.connect()
  await connection.run(`create table t as select * from read_csv('${file}', all_varchar = true)`)
  const [[count]] = (await connection.runAndReadAll('select count(*) from t')).getRows()
  expectRows(count)
  connection.closeSync()
  instance.closeSync()
}

async function readNaru() {
  const { signal } = new AbortController()
  const env = realEnv()
  const stateDir = join(dirname(database), '.naru')
  const spool = join(stateDir, 'spool')
  mkdirSync(spool, { recursive: true })
  const engine = await openEngine({
    options: { path: database },
    configDir: dirname(database),
    secret: () => undefined,
    access: 'write',
    env,
  })
  const { files } = await openAdapter({
    source: 'bench',
    options: { folder: dirname(file) },
    secret: () => undefined,
    configDir: dirname(file),
    stateDir,
    env,
  })
  const columns = names.map(name => ({ name, type: { kind: 'text' }, nullable: true, personal: false }))
  const format = { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] }
  const change = { technique: 'files', scope: 'full', format, encoding: 'utf-8', checksum: 'none' }
  const table = { source: 'bench', name: 'big', remote: basename(file), columns, key: ['c0'], change }
  const taken = {
    name: basename(file),
    bytes: statSync(file).size,
    modifiedMicros: 0n,
    contentHash: '',
    localPath: file,
  }
  await engine.transaction(signal, async tx => {
    await tx.execute(sql`create schema staging`)
    await createLanding(tx, table, { sweep: false })
    const shape = { ...change, glob: table.remote, columns }
    const ctx = { signal, emit: () => {} }
    const linked = { ...taken, localPath: await linkInto(spool) }
    for await (const { batches } of files.read(linked, shape, {}, signal)) {
      const into = stagingNames(table).landing
      await receive(ctx, tx, { table, into, load: 1n, unit: 1, file: taken.name, reading: null }, batches, () => {})
    }
  })
  await engine.checkpoint()
  const result = await engine.query(rawSql('select count(*), count(_line) from staging.bench_big__landing'), signal)
  for await (const [[count, lines]] of result.pages) {
    expectRows(count)
    expectRows(lines)
  }
  await engine.close()
}

async function linkInto(spool) {
  const localPath = join(spool, '1.data')
  await realEnv().files.symlink(file, localPath)
  return localPath
}

function expectRows(count) {
  if (String(count) !== rows) throw new Error(`${count} rows instead of ${rows}`)
}
