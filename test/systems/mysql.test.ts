import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { float32Text } from '../../src/core/cell-text.ts'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import { tablesPromisesFor, type HardTable, type TablesSystem } from '../../src/services/adapter/conformance-tables.ts'
import { writesPromises } from '../../src/services/adapter/conformance-writes.ts'
import { exactTypeName, mysqlDialect } from '../../src/systems/mysql/dialect.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { hardGenerated, hardTypes, type HardType } from '../../src/testing/mysql/hard-values.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

const ROW_BYTES_MAX = 150_000

let server: MariaDb
let client: Connection
beforeAll(async () => {
  server = await startMariaDb({ 'max-allowed-packet': '64M' })
  client = await connectMysql(server.url())
})
afterAll(async () => {
  await client?.end()
  await server?.stop()
})

const can = { writesBesideSnapshot: true, horizon: true }

describe('tables of MariaDB keep the contract', () => {
  for (const promise of tablesPromisesFor(can)) {
    test(promise.name, async () => {
      await promise.check(tables)
    })
  }
})

describe('writes of MariaDB keep the contract', () => {
  for (const promise of writesPromises) {
    test(promise.name, () => promise.check({ open: tables.open, execute }))
  }
})

const tables: TablesSystem = {
  open: () => openMysql(server.url(), { maxValueBytes: ROW_BYTES_MAX }),
  rowBytesMax: ROW_BYTES_MAX,
  execute,
  typeName: (type: ColumnType) =>
    type.kind === 'timestamp' && type.zoned ? 'timestamp(6) null' : (exactTypeName(type) as string),
  literal: (type, value) => mysqlDialect.literal(type.kind === 'timestamp' ? value.replace('+00', '') : value),
  stamp: { kind: 'timestamp', zoned: true },
  can,
  createHardTable,
}

async function execute(statement: string): Promise<void> {
  // A key needs a limit in its type, and the suite asks for a type without the column.
  await client.query(statement.replace(/(primary key \((?:region|code))/, '$1(100)'))
}

/** One column for each type, one row for each value; what is expected is the server's own cast to text. */
async function createHardTable(): Promise<HardTable> {
  const all = [...hardTypes, ...hardGenerated]
  const columns: ColumnDef[] = all.map(({ type }, i) => ({ name: `c${i}`, type, nullable: true, personal: false }))
  await client.query(`set sql_mode = ''; drop table if exists hard`)
  await client.query(
    `create table hard (id int primary key, ${all.map(({ native }, i) => `c${i} ${native}`).join(', ')}) charset utf8mb4`,
  )
  let id = 0
  const unfit: string[] = []
  const insert = async (column: number, value: string): Promise<string> => {
    id++
    await client.query(`insert into hard (id, c${column}) values (${id}, ${value})`)
    return String(id)
  }
  for (const [column, { values }] of hardTypes.entries()) for (const value of values) await insert(column, value)
  const fit = id
  for (const [column, row] of hardTypes.entries()) {
    for (const value of row.unfit ?? []) unfit.push(await insert(column, value))
  }
  return {
    remote: 'hard',
    columns: [{ name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false }, ...columns],
    key: ['id'],
    rows: await ownTexts(all, fit),
    unfit,
  }
}

async function ownTexts(all: readonly HardType[], upTo: number): Promise<readonly (readonly (string | null)[])[]> {
  const prints = all.map(
    ({ print = 'cast(@ as char character set utf8mb4)' }, i) =>
      `cast(${print.replaceAll('@', `c${i}`)} as char character set utf8mb4) as c${i}`,
  )
  const [rows] = await client.query({
    sql: `select cast(id as char) as id, ${prints.join(', ')} from hard where id <= ${upTo} order by hard.id`,
    rowsAsArray: true,
  })
  const types = [null, ...all.map(({ type }) => type)]
  // The server prints a 32-bit float as the double that it is.
  const isShort = (c: number): boolean => types[c]?.kind === 'float' && types[c].bits === 32
  return (rows as (string | null)[][]).map(row =>
    row.map((value, c) => (value !== null && isShort(c) ? float32Text(Math.fround(Number(value))) : value)),
  )
}
