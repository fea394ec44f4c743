import path from 'node:path'
import { loadConfig } from '../../config/load.ts'
import type { SourceDef } from '../../config/model.ts'
import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import { fileExists } from '../../core/files.ts'
import type { SecretRef } from '../../core/secret.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { openSource } from '../extract.ts'
import { secretRefsIn, secretResolver } from '../secrets.ts'
import type { Given } from './moving.ts'

/** One end of a transfer: a system, and a table of it; `null` where a query stands for the table. */
export interface Address {
  /** As the person wrote it: for messages and for knowing the same transfer again. Holds no password. */
  readonly text: string
  readonly system: Pick<SourceDef, 'name' | 'adapter' | 'options'>
  readonly table: string | null
}

/** Opens the system of an address. Paths and drivers are looked up from the folder of the configuration. */
export async function openAddress(
  { env, adapters }: Pick<Given, 'env' | 'adapters'>,
  { system }: Address,
  configFile: string,
): Promise<Adapter> {
  const configDir = path.dirname(configFile)
  const secret = await secretResolver(env, configDir, secretRefsIn(system.options))
  return openSource({ env, configDir, stateDir: stateDirOf(configFile), secret }, { ...system, tables: [] }, adapters)
}

/** Where what is under way is remembered. */
export function stateDirOf(configFile: string): string {
  return path.join(path.dirname(configFile), '.naru')
}

/** Which adapter reads a database, by the scheme of its address. */
const schemes: Readonly<Record<string, string>> = {
  postgres: 'postgres',
  postgresql: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
  ftp: 'files',
  ftps: 'files',
  sftp: 'files',
  s3: 'files',
}

/** A connection string of ODBC, which has no scheme: words and values, with the data source or the driver among them. */
const odbcText = /(?:^|;)\s*(?:dsn|filedsn|driver)\s*=/i

/** A file by its suffix, with what it may be packed by. */
const plainFile = /\.(parquet|avro|csv|tsv|json|ndjson|jsonl)(\.(gz|zst|zip))?$/i

/** As RFC 3986 has it: a scheme may hold digits, as that of `s3://` does. */
const urlStart = /^\s*[a-z][a-z0-9+.-]*:\/\//i

const sqliteFile = /\.(db|sqlite3?)$/i

/**
 * Reads one end of a transfer: `env:VARIABLE#table` is a database whose address stands in an environment variable (on
 * the command line every user of the machine would see its password), `shop.db#table` a SQLite file, `orders.parquet` a
 * file, `source#table` a source of the configuration. Throws `TRANSFER_ADDRESS`, `ENV_MISSING`.
 */
export async function readAddress(env: Env, text: string, configFile: string): Promise<Address> {
  const hash = text.indexOf('#')
  const [place, table] = hash === -1 ? [text, null] : [text.slice(0, hash), text.slice(hash + 1) || null]
  // Before anything else is made of it: a URL may end as a file does, and no message may show what stands in it.
  if (urlStart.test(text)) {
    const problem = 'an address on the command line shows its password to others; put it into an environment variable'
    throw fail('TRANSFER_ADDRESS', { address: text.replace(/\/\/[^]*$/, '//…'), problem })
  }
  if (place.startsWith('env:')) return { text, table, system: databaseOf(env, text, place.slice('env:'.length)) }
  if (sqliteFile.test(place)) {
    await refuseNoFolder(env, text, place)
    return { text, table, system: { name: place, adapter: 'sqlite', options: { path: path.resolve(place) } } }
  }
  if (table === null && plainFile.test(place)) {
    await refuseNoFolder(env, text, place)
    const file = path.resolve(place)
    const system = { name: place, adapter: 'files', options: { folder: path.dirname(file) } }
    return { text, table: path.basename(file), system }
  }
  return { text, table, system: await sourceOf(env, text, place, configFile) }
}

async function refuseNoFolder(env: Env, text: string, place: string): Promise<void> {
  const folder = path.dirname(path.resolve(place))
  if (await fileExists(env, folder)) return
  throw fail('TRANSFER_ADDRESS', { address: text, problem: `there is no folder ${folder}` })
}

function databaseOf(env: Env, text: string, variable: string): Address['system'] {
  const url = env.variables[variable]
  if (url === undefined || url === '') throw fail('ENV_MISSING', { name: variable, usedBy: `"${text}"` })
  const secret: SecretRef = { kind: 'secret', from: 'env', name: variable }
  const name = `env:${variable}`
  if (!urlStart.test(url) && odbcText.test(url)) return { name, adapter: 'odbc', options: { dsn: secret } }
  const scheme = /^([a-z0-9+.-]+):/i.exec(url)?.[1]?.toLowerCase()
  const adapter = schemes[scheme ?? '']
  if (adapter !== undefined) return { name, adapter, options: { url: secret } }
  const found = scheme === undefined ? 'has no scheme' : `has the scheme "${scheme}"`
  const known = `${Object.keys(schemes).join(', ')}, and connection strings of ODBC (DSN=… or Driver=…)`
  throw fail('TRANSFER_ADDRESS', { address: text, problem: `the address in ${variable} ${found}; known are ${known}` })
}

async function sourceOf(env: Env, text: string, name: string, configFile: string): Promise<Address['system']> {
  if (!(await fileExists(env, configFile))) {
    const problem = `there is no ${path.basename(configFile)} here that could have a source "${name}"`
    throw fail('TRANSFER_ADDRESS', { address: text, problem })
  }
  const { sources } = await loadConfig(env, configFile)
  const found = sources.find(source => source.name === name)
  if (found !== undefined) return found
  const known = sources.map(source => source.name).join(', ')
  throw fail('TRANSFER_ADDRESS', {
    address: text,
    problem: `the configuration has no source "${name}"; it has ${known}`,
  })
}
