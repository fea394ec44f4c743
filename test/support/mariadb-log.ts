import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, expect } from 'vitest'
import type { ColumnDef, ColumnType } from '../../src/core/types.ts'
import { follow, type Followed } from '../../src/services/adapter/conformance-capture-support.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { CapturedTable, Captures, ChangeStream } from '../../src/services/adapter/contract-capture.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { connectMysql, openMysql } from '../../src/testing/mysql/database.ts'
import { startMariaDb, type MariaDb } from '../servers/mariadb.ts'

/** A MariaDB of a test file that writes its log, and readers of that log. */
export interface LogBench {
  readonly server: MariaDb
  /** For what streams spill. */
  readonly folder: string
  /** Runs statements in a session of their own, one after the other. */
  inSession(...statements: readonly string[]): Promise<void>
  /** A reader of these tables from now on. */
  reader(tables: readonly CapturedTable[], options?: Readonly<Record<string, unknown>>): Promise<LogUse>
}

/** A reader of the log that may begin again where it was. */
export interface LogUse {
  readonly adapter: Adapter
  readonly log: Captures
  readonly from: string
  open(from?: string): Promise<ChangeStream>
  /** Opens a stream behind what was read last, and gives what comes until now. */
  changes(): Promise<Followed>
}

/** Starts the server before the tests of a file and ends everything after them. */
export function logBench(
  settings: Readonly<Record<string, string>> = {},
  { isEncrypted = false }: { readonly isEncrypted?: boolean } = {},
): LogBench {
  let server: MariaDb
  let spillDir: string
  const open: Adapter[] = []
  beforeAll(async () => {
    spillDir = mkdtempSync(path.join(os.tmpdir(), 'naru-spill-'))
    const encryption = isEncrypted ? encrypted(spillDir) : {}
    server = await startMariaDb({
      'log-bin': 'mysqld-bin',
      'server-id': '3',
      'binlog-format': 'ROW',
      ...encryption,
      ...settings,
    })
  })
  afterAll(async () => {
    for (const adapter of open) await adapter.close()
    await server?.stop()
    rmSync(spillDir, { recursive: true, force: true })
  })
  return {
    get server() {
      return server
    },
    get folder() {
      return spillDir
    },
    inSession: async (...statements) => {
      const session: Connection = await connectMysql(server.url())
      try {
        for (const statement of statements) await session.query(statement)
      } finally {
        await session.end()
      }
    },
    reader: async (tables, options = {}) => {
      const adapter = await openMysql(server.url(), options)
      open.push(adapter)
      const log = adapter.captures?.log as Captures
      const from = await log.install(tables, never)
      let at = from
      const openAt = (given = at): Promise<ChangeStream> => log.open({ tables, from: given, spillDir }, never)
      return {
        adapter,
        log,
        from,
        open: openAt,
        changes: async () => {
          const stream = await openAt()
          try {
            const followed = await follow(log, stream, await log.head(never))
            at = followed.slices.findLast(it => it.position !== null)?.position ?? at
            return followed
          } finally {
            await stream.close()
          }
        },
      }
    },
  }
}

/** A log that the server encrypts, with a key in a file. */
function encrypted(folder: string): Readonly<Record<string, string>> {
  const file = path.join(folder, 'keys')
  writeFileSync(file, `1;${'0123456789abcdef'.repeat(2)}\n`)
  chmodSync(folder, 0o755)
  chmodSync(file, 0o644)
  return { 'plugin-load-add': 'file_key_management', 'file-key-management-filename': file, 'encrypt-binlog': 'ON' }
}

/**
 * Removes the log up to now. The server keeps, without a word, files that its own recovery may still need (until its tables are
 * on the disk, about a second) or that a reader has open.
 */
export async function purgeLog(client: Connection): Promise<void> {
  const files = async (): Promise<readonly string[]> =>
    (await client.query<RowDataPacket[]>('show binary logs'))[0].map(it => it['Log_name'] as string)
  const read = (await files()).at(-1)
  const left = async (): Promise<readonly string[]> => {
    await client.query('flush binary logs')
    await client.query(`purge binary logs to '${(await files()).at(-1)}'`)
    return files()
  }
  await expect.poll(left, { timeout: 60_000, interval: 100 }).not.toContain(read)
}

/** Events as `[op, ...values]`. */
export const brief = ({ events }: Followed): readonly unknown[] => events.map(({ op, row }) => [op, ...row])

/** A table that is asked for by the names of its columns: text unless a type is given. */
export function asked(
  remote: string,
  columns: Readonly<Record<string, ColumnType>>,
  key: readonly string[],
): CapturedTable {
  const list = Object.entries(columns).map(([name, type]): ColumnDef => ({
    name,
    type,
    nullable: !key.includes(name),
    personal: false,
  }))
  return { name: remote, remote, key, columns: list }
}
