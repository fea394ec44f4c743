import type { CaptureSystem, Write } from '../../services/adapter/conformance-capture-support.ts'
import { flag, flaggedTable, flagStatements } from '../suite/flags.ts'
import type { ColumnDef } from '../../core/types.ts'
import { postgresDialect } from '../../systems/postgres/dialect.ts'
import { openPostgres, type TestDatabase } from './database.ts'
import { makeSpillDir } from '../spill.ts'

/** Captures that read a change table of PostgreSQL, for the suite. Only tests use it. */
export function postgresCaptures(database: TestDatabase, technique: 'trigger' | 'event' | 'status'): CaptureSystem {
  return {
    technique,
    open: () => openPostgres(database.url),
    execute: async statement => {
      await database.client.query(statement)
    },
    session: async () => {
      const client = await database.connect()
      let isOpen = true
      return {
        execute: async statement => {
          await client.query(statement)
        },
        close: async () => {
          if (isOpen) await client.query('rollback')
          isOpen = false
        },
      }
    },
    typeName: postgresDialect.type,
    literal: (_, value) => postgresDialect.literal(value),
    cut: async () => {
      await database.client.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'naru' and pid <> pg_backend_pid()`,
      )
    },
    spillDir: makeSpillDir,
    ...(technique === 'status' && {
      captured: table => ({ ...table, status: flag }),
      createTable: async table => {
        const given = { typeName: postgresDialect.type, flagType: 'text' }
        for (const statement of flaggedTable(table, given)) await database.client.query(statement)
      },
      cooperate: (write: Write) => flagStatements(write, postgresDialect.literal),
    }),
    ...(technique === 'event' && {
      cooperate: write => eventStatements(write),
      truncate: remote => `truncate ${remote}; ${truncateEvent(remote)}`,
    }),
  }
}

const OUTBOX = 'naru_capture.outbox'

function isTime(kind: ColumnDef['type']['kind']): boolean {
  return kind === 'date' || kind === 'timestamp'
}

function truncateEvent(remote: string): string {
  return `insert into ${OUTBOX} (table_name, op, key) values ('${remote}', 'truncate', '{}')`
}

/** What an application writes: the change, and then its event, in one transaction. */
export function eventStatements(
  write: Write,
  outbox = `${OUTBOX} (table_name, op, key, row)`,
  literal: (text: string) => string = postgresDialect.literal,
  how: 'together' | 'apart' = 'together',
): readonly string[] {
  const { op, table, sql } = write
  const json = (columns: readonly ColumnDef[], row: readonly (string | null)[]): string => literal(jsonOf(columns, row))
  const key = op === 'insert' ? write.row.slice(0, 1) : [write.id]
  const row = op === 'delete' ? 'null' : json(table.columns, write.row)
  const event = `insert into ${outbox} values ('${table.remote}', '${op}', ${json(table.columns.slice(0, 1), key)}, ${row})`
  return how === 'together' ? [`${sql}; ${event}`] : [sql, event]
}

/** A row as JSON that keeps every digit: numbers as they are written, everything else as text. */
export function jsonOf(columns: readonly ColumnDef[], row: readonly (string | null)[]): string {
  const members = columns.map(({ name, type }, i) => {
    const value = row[i] ?? null
    return `${JSON.stringify(name)}:${value === null ? 'null' : jsonValue(type.kind, value)}`
  })
  return `{${members.join(',')}}`
}

function jsonValue(kind: ColumnDef['type']['kind'], value: string): string {
  // An event with one of these is set aside with its reason: no text in JSON is agreed on for them.
  if (kind === 'interval' || (isTime(kind) && /infinity|BC$/.test(value))) throw new Error('no value of an event')
  if (kind === 'bool' || kind === 'json') return value
  if (kind === 'bytes') return JSON.stringify(Buffer.from(value.replace(/^\\x/, ''), 'hex').toString('base64'))
  return JSON.stringify(value)
}
