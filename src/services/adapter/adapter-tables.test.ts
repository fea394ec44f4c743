import { afterAll, beforeAll, describe, test } from 'vitest'
import type { ColumnDef } from '../../core/types.ts'
import { postgresDialect } from '../../systems/postgres/dialect.ts'
import { tablesPromises, type HardTable, type TablesSystem } from './conformance-tables.ts'
import { hardTypes, hardTypesSetup } from '../../testing/postgres/hard-values.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../testing/postgres/database.ts'

const ROW_BYTES_MAX = 90_000

let database: TestDatabase

/** A system, and how it is made ready and put away. */
interface Row {
  readonly kind: string
  start(): Promise<TablesSystem>
  stop(): Promise<void>
}

const systems: readonly Row[] = [
  {
    kind: 'postgres',
    start: async () => {
      database = await startTestDatabase()
      return postgresSystem()
    },
    stop: () => database.stop(),
  },
]

for (const { kind, start, stop } of systems) {
  describe(`tables of ${kind}`, () => {
    let system: TablesSystem
    beforeAll(async () => (system = await start()))
    afterAll(stop)

    for (const promise of tablesPromises) {
      test(promise.name, async context => {
        if (promise.when?.(system.can) === false) context.skip('the system does not claim it')
        await promise.check(system)
      })
    }
  })
}

function postgresSystem(): TablesSystem {
  return {
    open: () => openPostgres(database.url, { maxValueBytes: ROW_BYTES_MAX }),
    rowBytesMax: ROW_BYTES_MAX,
    execute: async statement => {
      await database.client.query(statement)
    },
    typeName: postgresDialect.type,
    literal: (_, value) => postgresDialect.literal(value),
    stamp: { kind: 'timestamp', zoned: true },
    can: { writesBesideSnapshot: true, horizon: true },
    createHardTable,
  }
}

/** One column for each type, one row for each value; what is expected is the server's own cast to text. */
async function createHardTable(): Promise<HardTable> {
  const { client } = database
  const columns: ColumnDef[] = hardTypes.map(({ type }, i) => ({
    name: `c${i}`,
    type,
    nullable: true,
    personal: false,
  }))
  const definitions = hardTypes.map(({ native }, i) => `c${i} ${native}`)
  await client.query(hardTypesSetup)
  await client.query(`create table hard (id integer primary key, ${definitions.join(', ')})`)
  let id = 0
  const insert = async (column: number, value: string): Promise<string> => {
    const { native } = hardTypes[column] as (typeof hardTypes)[number]
    id++
    await client.query(`insert into hard (id, c${column}) values ($1, $2::text::${native})`, [id, value])
    return String(id)
  }
  for (const [column, { values }] of hardTypes.entries()) for (const value of values) await insert(column, value)
  const fit = id
  const unfit: string[] = []
  for (const [column, row] of hardTypes.entries()) {
    for (const value of row.unfit ?? []) unfit.push(await insert(column, value))
  }
  return {
    remote: 'hard',
    columns: [{ name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false }, ...columns],
    key: ['id'],
    rows: await ownTexts(fit),
    unfit,
  }
}

async function ownTexts(upTo: number): Promise<readonly (readonly (string | null)[])[]> {
  const { client } = database
  const casts = hardTypes.map((_, i) => `c${i}::text as c${i}`)
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
