import assert from 'node:assert/strict'
import type { Connection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { float32Text } from '../../src/core/cell-text.ts'
import { isNaruError } from '../../src/core/errors.ts'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import { batchesOf } from '../../src/services/adapter/conformance-goods.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { TableWriter, WritesTables } from '../../src/services/adapter/contract-writes.ts'
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

const can = { writesBesideSnapshot: true, ownRows: true, horizon: true }

describe('tables of MariaDB keep the contract', () => {
  for (const promise of tablesPromisesFor(can)) {
    test(promise.name, async () => {
      await promise.check(tables)
    })
  }
})

describe('writes of MariaDB keep the contract', () => {
  for (const promise of writesPromises) {
    test(promise.name, () => promise.check({ open: tables.open, execute, procedures: { addGood, commitGood } }))
  }
})

const addGood = procedure(
  'add_good',
  `if price < 0 then signal sqlstate '45000' set message_text = 'no such price'; end if;
  insert into goods values (id, name, price);`,
)
const commitGood = procedure('commit_good', 'insert into goods values (id, name, price); commit;')

function procedure(name: string, body: string): string {
  const parameters = 'id bigint, name text charset utf8mb4, price decimal(12,2)'
  return `create or replace procedure ${name}(${parameters}) modifies sql data begin ${body} end`
}

describe('calls of MariaDB', () => {
  const refused = {
    commits: 'commit',
    'begins another transaction': 'start transaction',
    'rolls back': 'rollback',
    'makes a table': 'create table side_effect (id int)',
    'turns the transaction off and on': 'set autocommit = 0; set autocommit = 1',
    'gives rows back': 'select 1',
  }
  test.each(Object.entries(refused))('a procedure that %s is refused, and leaves nothing', async (_, body) => {
    const { ended, rows } = await call(`insert into taken values (id); ${body}`)
    assert.ok(ended.status === 'rejected' && isNaruError(ended.reason, 'WRITE_CALL'), JSON.stringify(ended.status))
    assert.equal(rows, 0)
  })

  test('a procedure that keeps the error of its commit to itself has committed nothing', async () => {
    const body = `insert into taken values (id); begin declare continue handler for sqlexception begin end; commit; end;
      if id = 2 then signal sqlstate '45000' set message_text = 'enough'; end if`
    const { ended, rows } = await call(body)
    assert.ok(ended.status === 'rejected' && isNaruError(ended.reason, 'WRITE_CALL'))
    assert.match(ended.reason.message, /row 2 of "a" failed: enough/)
    assert.equal(rows, 0)
  })

  test('a connection that is lost amid the calls leaves nothing, and the next writer makes all of them', async () => {
    await client.query(`select get_lock('gate', 0)`)
    const body = `insert into taken values (id); if id = 2 then do get_lock('gate', 60); end if`
    const calling = call(body, writer => writer.close())
    let waiting: unknown
    while (waiting === undefined) {
      const [found] = await client.query(`select id from information_schema.processlist where state = 'User lock'`)
      waiting = (found as unknown as readonly { readonly id: number }[])[0]?.id
    }
    await client.query(`kill ${String(waiting)}`)
    const { ended, rows } = await calling
    assert.equal(ended.status, 'rejected')
    assert.equal(rows, 0)
    await client.query(`select release_lock('gate')`)
    const again = await call(body)
    assert.equal(again.ended.status, 'fulfilled')
    assert.equal(again.rows, 2)
  })

  /** Calls a procedure with 1 and 2; gives how it ended, and how many rows the table `taken` has then. */
  async function call(
    body: string,
    end = (writer: TableWriter) => writer.discard(never),
  ): Promise<{ ended: PromiseSettledResult<unknown>; rows: number }> {
    await client.query('create or replace table taken (id bigint) engine = InnoDB')
    await client.query(`create or replace procedure odd(id bigint) begin ${body}; end`)
    const adapter = await openMysql(server.url())
    const columns = [{ name: 'id', type: { kind: 'int', bits: 64 }, nullable: true, personal: false }] as const
    const target = { id: 'odd', remote: 'odd', columns, key: [], mode: 'call', create: false } as const
    const writer = await (adapter.writes as WritesTables).openWriter(target, never)
    try {
      await writer.stage('a', batchesOf({ columns }, [[1n], [2n]]), never)
      const [ended] = await Promise.allSettled([writer.publish({ missed: 'refuse' }, never)])
      const [rows] = await client.query('select * from taken')
      return { ended, rows: (rows as unknown[]).length }
    } finally {
      await end(writer)
      await writer.close()
      await adapter.close()
    }
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
