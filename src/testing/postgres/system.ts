import type { Client } from 'pg'
import type { ColumnDef } from '../../core/types.ts'
import type { HardTable, TablesSystem } from '../../services/adapter/conformance-tables.ts'
import { postgresDialect } from '../../systems/postgres/dialect.ts'
import { openPostgres, type TestDatabase } from './database.ts'
import { hardTypes, hardTypesSetup, type HardType } from './hard-values.ts'

const ROW_BYTES_MAX = 90_000

async function versionOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::int as version`,
  )
  return Math.floor((rows[0]?.version ?? 0) / 10_000)
}

/** What PostgreSQL claims. */
export const postgresCan: TablesSystem['can'] = { writesBesideSnapshot: true, ownRows: true, horizon: true }

/** The promises of tables against a server. Only tests use it. */
export function postgresSystem(database: TestDatabase): TablesSystem {
  return {
    open: () => openPostgres(database.url, { maxValueBytes: ROW_BYTES_MAX }),
    rowBytesMax: ROW_BYTES_MAX,
    execute: async statement => {
      await database.client.query(statement)
    },
    typeName: postgresDialect.type,
    literal: (_, value) => postgresDialect.literal(value),
    stamp: { kind: 'timestamp', zoned: true },
    can: postgresCan,
    createHardTable: () => createHardTable(database),
  }
}

/** One column for each type, one row for each value; what is expected is the server's own cast to text. */
async function createHardTable({ client }: TestDatabase): Promise<HardTable> {
  const version = await versionOf(client)
  const types = hardTypes.filter(({ since }) => since === undefined || since <= version)
  const columns: ColumnDef[] = types.map(({ type }, i) => ({
    name: `c${i}`,
    type,
    nullable: true,
    personal: false,
  }))
  const definitions = types.map(({ native }, i) => `c${i} ${native}`)
  await client.query(hardTypesSetup)
  await client.query(`create table hard (id integer primary key, ${definitions.join(', ')})`)
  let id = 0
  const insert = async (column: number, value: string): Promise<string> => {
    const { native } = types[column] as HardType
    id++
    await client.query(`insert into hard (id, c${column}) values ($1, $2::text::${native})`, [id, value])
    return String(id)
  }
  for (const [column, { values }] of types.entries()) for (const value of values) await insert(column, value)
  const fit = id
  const unfit: string[] = []
  for (const [column, row] of types.entries()) {
    for (const value of row.unfit ?? []) unfit.push(await insert(column, value))
  }
  return {
    remote: 'hard',
    columns: [{ name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false }, ...columns],
    key: ['id'],
    rows: await ownTexts(client, types.length, fit),
    unfit,
  }
}

async function ownTexts(client: Client, count: number, upTo: number): Promise<readonly (readonly (string | null)[])[]> {
  const casts = Array.from({ length: count }, (_, i) => `c${i}::text as c${i}`)
  await client.query(
    `set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set extra_float_digits = 1; set search_path = pg_catalog, public`,
  )
  const { rows } = await client.query<(string | null)[]>({
    text: `select id::text, ${casts.join(', ')} from hard where id <= ${upTo} order by hard.id`,
    rowMode: 'array',
  })
  await client.query('set search_path = public')
  return rows
}
