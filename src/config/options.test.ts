import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { OptionTable } from '../core/implementation.ts'
import { cassandra } from '../services/adapter/cassandra/index.ts'
import { events } from '../services/adapter/events/index.ts'
import { files } from '../services/adapter/files/index.ts'
import { mysql } from '../services/adapter/mysql/index.ts'
import { odbc } from '../services/adapter/odbc/index.ts'
import { http } from '../services/adapter/http/index.ts'
import { postgres } from '../services/adapter/postgres/index.ts'
import { redis } from '../services/adapter/redis/index.ts'
import { sqlite } from '../services/adapter/sqlite/index.ts'
import { duckdb } from '../services/engine/duckdb/index.ts'
import { postgres as postgresEngine } from '../services/engine/postgres/index.ts'

/** The kinds of the option tables, by the TypeScript type that a user sees. */
const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'int',
  boolean: 'flag',
  Duration: 'duration',
  SecretRef: 'secret',
}

interface Written {
  kind: string
  required: boolean
}

/** The members of an exported type, as they are written. One that a variant leaves out (`?: never`) is not required. */
function membersOf(file: string, type: string): Readonly<Record<string, Written>> {
  const text = readFileSync(new URL(file, import.meta.url), 'utf8')
  const body = new RegExp(`export (?:interface|type) ${type}\\b([^]*?)\\n(?:\\}|\\))\\n`).exec(text)?.[1] ?? ''
  const base = /^ extends (\w+)/.exec(body)?.[1]
  const members: Record<string, Written> = base === undefined ? {} : { ...membersOf('source.ts', base) }
  for (const [, name, optional, written] of body.matchAll(/readonly (\w+)(\??): (.+)/g) as Iterable<string[]>) {
    const member = (members[name as string] ??= { kind: 'never', required: true })
    if (written !== 'never') {
      const literal = written?.startsWith('`') ? 'text' : written?.startsWith("'") ? 'choice' : `unknown: ${written}`
      member.kind = kinds[written as string] ?? literal
    }
    if (optional === '?') member.required = false
  }
  return members
}

function rowsOf(table: OptionTable): Readonly<Record<string, Written>> {
  // What only a builder can type (`data`) is part of the builder's own signature.
  const plain = Object.entries(table).filter(([, row]) => row.kind !== 'data')
  return Object.fromEntries(plain.map(([name, { kind, required }]) => [name, { kind, required }]))
}

// The types are written by hand (docs/decisions/0004): nothing but this test holds them to the tables.
test.each<[string, string, { readonly options: OptionTable }]>([
  ['PgOptions', 'source.ts', postgres],
  ['SqliteOptions', 'source.ts', sqlite],
  ['MysqlOptions', 'mysql.ts', mysql],
  ['OdbcOptions', 'odbc.ts', odbc],
  ['FilesOptions', 'files.ts', files],
  ['HttpOptions', 'http.ts', http],
  ['EventsOptions', 'events.ts', events],
  ['RedisOptions', 'redis.ts', redis],
  ['CassandraOptions', 'cassandra.ts', cassandra],
  ['DuckdbOptions', 'engine.ts', duckdb],
  ['PostgresOptions', 'engine.ts', postgresEngine],
])('%s has the options of its table, with their kinds', (type, file, { options }) => {
  expect(membersOf(file, type)).toEqual(rowsOf(options))
})
