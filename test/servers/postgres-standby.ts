import { chownSync, cpSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { testDatabase } from '../../src/testing/postgres/database.ts'
import { own, password, serverUser, takesLogins, type PostgresServer } from './postgres.ts'
import { freePort, makeFolder, startServer } from './server.ts'

/** What a primary needs for a standby of it. */
export const primarySettings = { wal_level: 'logical', max_replication_slots: '20', max_wal_senders: '20' } as const

/** A copy of a server that follows it by its log. */
export interface PostgresStandby extends Omit<PostgresServer, 'restart' | 'lose'> {
  /** Makes it a server of its own; the primary should be gone by then. */
  promote(): Promise<void>
}

/** Folders whose content belongs to the running server alone. */
const ownFolders = [
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
]

/** Copies a running server and starts the copy as its standby. The slot of the primary that it reads by is `standby`. */
export async function startPostgresStandby(
  primary: PostgresServer,
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresStandby> {
  const home = makeFolder('postgres')
  const data = path.join(home, 'data')
  const as = serverUser()
  await copyData(primary, data)
  own(path.join(data, 'standby.signal'), '', as)
  chownAll(home, as.uid, as.gid)
  const port = await freePort()
  const all = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'off',
    ...primarySettings,
    hot_standby_feedback: 'on',
    wal_receiver_status_interval: '1',
    primary_slot_name: 'standby',
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres password=${password} dbname=postgres application_name=standby`,
    ...settings,
  }
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const address = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
  const server = await startServer(path.join(primary.bin, 'postgres'), ['-D', data, '-p', String(port), ...flags], {
    ready: () => takesLogins(address),
    stopSignal: 'SIGINT',
    spawn: { ...as, cwd: home },
  })
  const database = await testDatabase(address, async () => {
    await server.stop()
    rmSync(home, { recursive: true, force: true })
  })
  const promote = async (): Promise<void> => {
    await database.client.query('select pg_promote(true, 60)')
  }
  return { ...database, data, port, bin: primary.bin, promote }
}

/** The copy of a server that goes on writing: the log from its beginning on makes it whole. */
async function copyData(primary: PostgresServer, data: string): Promise<void> {
  const { client } = primary
  await client.query(`select pg_create_physical_replication_slot('standby', true)`)
  await client.query(`select pg_backup_start('standby', true)`)
  cpSync(primary.data, data, {
    recursive: true,
    filter: source => {
      const [first, second] = path.relative(primary.data, source).split(path.sep)
      return first !== 'postmaster.pid' && !(second !== undefined && ownFolders.includes(first as string))
    },
  })
  const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
  own(path.join(data, 'backup_label'), rows[0]?.labelfile as string, serverUser())
}

function chownAll(folder: string, uid: number | undefined, gid: number | undefined): void {
  if (uid === undefined || gid === undefined) return
  chownSync(folder, uid, gid)
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    chownSync(path.join(folder, name), uid, gid)
}
