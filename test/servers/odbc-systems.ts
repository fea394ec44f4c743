import { execFileSync } from 'node:child_process'
import path from 'node:path'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import type { HardTable, TablesSystem } from '../../src/services/adapter/conformance-tables.ts'
import type { WritesSystem } from '../../src/services/adapter/conformance-goods.ts'
import { postgresDialect } from '../../src/systems/postgres/dialect.ts'
import { mariadbHardTypes, postgresHardTypes, sqliteHardTypes } from '../../src/testing/odbc/hard-values.ts'
import { startTestDatabase } from '../../src/testing/postgres/database.ts'
import { hardTypesSetup, type HardType } from '../../src/testing/postgres/hard-values.ts'
import { startMariaDb } from './mariadb.ts'
import { mariadb, openOdbc, prepareMariadb } from './odbc.ts'

/** What each claims through its driver. */
export const odbcCan = {
  SQLite: { writesBesideSnapshot: true, horizon: false, totals: false },
  PostgreSQL: { writesBesideSnapshot: true, horizon: false },
  MariaDB: { writesBesideSnapshot: true, horizon: false },
} as const

/** A system behind a driver: how it is started, and how tests reach it without the driver. */
export interface Behind {
  readonly system: TablesSystem
  /** The same for writing: rows may be as long as an adapter takes them unless told otherwise. */
  readonly writes: WritesSystem
  stop(): Promise<void>
}

const quoted = (value: string): string => `'${value.replaceAll("'", "''")}'`
const id: ColumnDef = { name: 'id', type: { kind: 'int', bits: 64 }, nullable: false, personal: false }

function hardColumns(types: readonly HardType[]): readonly ColumnDef[] {
  return [id, ...types.map(({ type }, i) => ({ name: `c${i}`, type, nullable: true, personal: false }))]
}

/** Values by row: each type has a column, each value a row; first those that fit. */
function hardRows(
  types: readonly HardType[],
): readonly { readonly column: number; readonly value: string; readonly fits: boolean }[] {
  const of = (values: readonly string[], column: number, fits: boolean) =>
    values.map(value => ({ column, value, fits }))
  return [
    ...types.flatMap(({ values }, i) => of(values, i, true)),
    ...types.flatMap(({ unfit = [] }, i) => of(unfit, i, false)),
  ]
}

function hardTable(types: readonly HardType[], rows: HardTable['rows']): HardTable {
  const unfit = hardRows(types).flatMap(({ fits }, i) => (fits ? [] : [String(i + 1)]))
  return { remote: 'hard', columns: hardColumns(types), key: ['id'], rows, unfit }
}

/** A SQLite file in `folder`, with a write-ahead log. */
export async function behindSqlite(folder: string): Promise<Behind> {
  const file = path.join(folder, 'legacy.db')
  const sqlite = (statements: string): string =>
    execFileSync('sqlite3', ['-cmd', '.timeout 10000', '-separator', '\u001f', '-newline', '\u001e', '-nullvalue', '\u001d', file], { input: statements, encoding: 'utf8', maxBuffer: 64 << 20 }) // prettier-ignore
  sqlite('pragma journal_mode = wal')
  const dsn = `Driver=SQLite3;Database=${file}`
  const names: Partial<Record<ColumnType['kind'], string>> = { text: 'varchar(100)', timestamp: 'varchar(40)' }
  const typeName = (type: ColumnType): string =>
    type.kind === 'int' ? (type.bits === 64 ? 'bigint' : 'int4') : (names[type.kind] ?? type.kind)
  const system: TablesSystem = {
    open: () => openOdbc(dsn, { maxValueBytes: 90_000 }),
    rowBytesMax: 90_000,
    execute: async statement => void sqlite(statement),
    typeName,
    literal: (type, value) => (type.kind === 'int' ? value : quoted(value)),
    stamp: { kind: 'text' },
    can: odbcCan.SQLite,
    createHardTable: async () => {
      const types = sqliteHardTypes
      sqlite(
        `drop table if exists hard; create table hard (id bigint primary key not null, ${types.map(({ native }, i) => `c${i} ${native}`).join(', ')})`,
      )
      sqlite(
        hardRows(types)
          .map(({ column, value }, i) => `insert into hard (id, c${column}) values (${i + 1}, ${value});`)
          .join('\n'),
      )
      const texts = types.map(({ type }, i) => sqliteText(type, `c${i}`))
      const fit = hardRows(types).filter(row => row.fits).length
      const found = sqlite(`select id, ${texts.join(', ')} from hard where id <= ${fit}`)
      return hardTable(types, found.split('\u001e').slice(0, -1).map(line => line.split('\u001f').map(cell => (cell === '\u001d' ? null : cell)))) // prettier-ignore
    },
  }
  return { system, writes: { open: () => openOdbc(dsn), execute: system.execute }, stop: async () => {} }
}

function sqliteText(type: ColumnType, column: string): string {
  switch (type.kind) {
    case 'bool':
      return `case ${column} when 1 then 'true' when 0 then 'false' end`
    case 'bytes':
      return `'\\x' || lower(hex(${column})) || substr('', 1, ${column} is null)`.replace(/^/, `case when ${column} is not null then `) + ' end' // prettier-ignore
    case 'float':
      return `case ${column} when 9e999 then 'Infinity' when -9e999 then '-Infinity' else printf('%!.20g', ${column}) end`.replace('else', `else case when ${column} is not null then`) + ' end' // prettier-ignore
    case 'decimal':
      return `case when ${column} is not null then printf('%.${type.scale}f', ${column}) end`
    default:
      return `cast(${column} as text)`
  }
}

/** A PostgreSQL of its own. */
export async function behindPostgres(): Promise<Behind> {
  const database = await startTestDatabase()
  const url = new URL(database.url)
  const types = postgresHardTypes
  const dsn = `Driver=PostgreSQL;Server=${url.hostname};Port=${url.port};Database=${url.pathname.slice(1)};UID=${url.username};PWD=${url.password}`
  const system: TablesSystem = {
    open: () => openOdbc(dsn, { maxValueBytes: 90_000 }),
    rowBytesMax: 90_000,
    execute: async statement => void (await database.client.query(statement)),
    typeName: postgresDialect.type,
    literal: (_, value) => postgresDialect.literal(value),
    stamp: { kind: 'timestamp', zoned: true },
    can: odbcCan.PostgreSQL,
    createHardTable: async () => {
      const { client } = database
      await client.query(hardTypesSetup)
      await client.query(
        `create table hard (id bigint primary key, ${types.map(({ native }, i) => `c${i} ${native}`).join(', ')})`,
      )
      for (const [i, { column, value }] of hardRows(types).entries()) {
        await client.query(`insert into hard (id, c${column}) values ($1, $2::text::${types[column]?.native})`, [
          i + 1,
          value,
        ])
      }
      await client.query(`set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set extra_float_digits = 1`)
      const fit = hardRows(types).filter(row => row.fits).length
      const texts = types.map((_, i) => `c${i}::text as c${i}`)
      const { rows } = await client.query<(string | null)[]>({
        text: `select id::text, ${texts.join(', ')} from hard where hard.id <= ${fit} order by hard.id`,
        rowMode: 'array',
      })
      return hardTable(types, rows)
    },
  }
  return { system, writes: { open: () => openOdbc(dsn), execute: system.execute }, stop: () => database.stop() }
}

/** A MariaDB of its own. */
export async function behindMariadb(): Promise<Behind> {
  const server = await startMariaDb({ 'max-allowed-packet': '256M' })
  prepareMariadb(server)
  const types = mariadbHardTypes
  const dsn = `Driver=MariaDB;Server=127.0.0.1;Port=${server.port};Database=naru;UID=naru;PWD={secret word}`
  const run = (statements: string): string =>
    mariadb(
      server.folder,
      `set time_zone = '+00:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'; ${statements}`,
      'naru',
    )
  const names: Partial<Record<ColumnType['kind'], string>> = {
    text: 'varchar(755) character set utf8mb4 collate utf8mb4_nopad_bin',
    timestamp: 'timestamp(6) null',
  }
  const system: TablesSystem = {
    open: () => openOdbc(dsn, { maxValueBytes: 2250 }),
    rowBytesMax: 2250,
    execute: async statement => void run(statement),
    typeName: type => (type.kind === 'int' ? (type.bits === 64 ? 'bigint' : 'int') : (names[type.kind] ?? type.kind)),
    literal: (type, value) => (type.kind === 'int' ? value : quoted(value.replace(/\+00$/, ''))),
    stamp: { kind: 'timestamp', zoned: true },
    can: odbcCan.MariaDB,
    createHardTable: async () => {
      run(
        `drop table if exists hard; create table hard (id bigint primary key, ${types.map(({ native }, i) => `c${i} ${native}`).join(', ')}) character set utf8mb4`,
      )
      run(
        hardRows(types)
          .map(({ column, value }, i) => `insert into hard (id, c${column}) values (${i + 1}, ${value});`)
          .join('\n'),
      )
      const fit = hardRows(types).filter(row => row.fits).length
      const texts = types.map(({ type, native }, i) => `hex(${mariadbText(type, native, `c${i}`)})`)
      const found = run(`select id, ${texts.join(', ')} from hard where id <= ${fit} order by id`)
        .trimEnd()
        .split('\n')
      const cell = (hex: string): string | null => (hex === 'NULL' ? null : Buffer.from(hex, 'hex').toString())
      return hardTable(types, found.map(line => line.split('\t').map((it, i) => (i === 0 ? it : withoutZeros((types[i - 1] as HardType).type, cell(it)))))) // prettier-ignore
    },
  }
  return { system, writes: { open: () => openOdbc(dsn), execute: system.execute }, stop: () => server.stop() }
}

function mariadbText(type: ColumnType, native: string, column: string): string {
  if (type.kind === 'bool') return `if(${column} = 1, 'true', 'false')`.replace(/^/, `if(${column} is null, null, `) + ')' // prettier-ignore
  if (/^(bit|year)/.test(native)) return `cast(cast(${column} as unsigned) as char)`
  if (native === 'float') return `cast(cast(${column} as double) as char)`
  if (type.kind === 'bytes') return `concat('\\x', lower(hex(${column})))`
  return `convert(cast(${column} as char) using utf8mb4)`
}

/** MariaDB prints every digit of a fraction that is declared. */
function withoutZeros(type: ColumnType, text: string | null): string | null {
  if (text === null || !['time', 'timestamp'].includes(type.kind)) return text
  return (
    text.replace(/\.?0+$/, tail => (tail.startsWith('.') ? '' : tail)).replace(/(\.\d*?)0+$/, '$1') +
    (type.kind === 'timestamp' && type.zoned ? '+00' : '')
  )
}
