import { createHash, randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Client } from 'pg'
import { expect } from 'vitest'
import { removePostgres, startPostgres, type PostgresServer } from '../../src/testing/servers/embedded-postgres.ts'
import { startFtp, type FtpServer } from '../../src/testing/servers/ftp.ts'
import type { Going } from './command.ts'
import { makeProject, type ProjectOptions, type TestProject } from './project.ts'

/** Customers and sales of the sample; few, but more than one chunk of `chunkRows`. */
export const customers = 20
export const sales = 200

/** The source systems of these tests: a PostgreSQL with a database for each shop, and an FTP server over all folders. */
export interface Systems {
  readonly postgres: PostgresServer
  readonly ftp: FtpServer
  readonly base: string
  /** A session of its own: it sees what the server is waiting for. */
  readonly observer: Client
  /** A shop with sources of its own, and a project that reads them. */
  shop(options?: ShopOptions): Promise<Shop>
  /** A shop with one run behind it: a copy of the first one of its config, so that only that one has to run. */
  loadedShop(options?: ShopOptions): Promise<Shop>
  stop(): Promise<void>
}

export type ShopOptions = Partial<Pick<ProjectOptions, 'config' | 'folder'>>

/** One shop: a database with customers and sales, a folder where a partner drops the list of towns. */
export interface Shop extends TestProject {
  /** A session in the shop's database. */
  readonly db: Client
  readonly dropFolder: string
  /** Words that no output may hold. */
  readonly secrets: readonly string[]
  /** Drops a file, with the side-car that its content has or the given one; `null` for none. */
  drop(name: string, content: string | Uint8Array, md5?: string | null): Promise<void>
}

const ftpUser = 'partner'

export async function startSystems(): Promise<Systems> {
  const base = await mkdtemp(path.join(os.tmpdir(), 'naru-journeys-'))
  const dir = path.join(base, 'postgres')
  const folders = path.join(base, 'drop')
  await mkdir(folders)
  const ftpPassword = `ferry-${randomBytes(6).toString('hex')}`
  const [postgres, ftp] = await Promise.all([
    startPostgres({ dir, settings: { fsync: 'off', max_connections: '50' } }),
    startFtp({ root: folders, user: ftpUser, password: ftpPassword }),
  ])
  const observer = new Client(postgres.url)
  await observer.connect()
  const opened: { remove(): Promise<void> }[] = []
  const maskKey = randomBytes(12).toString('hex')
  let shops = 0
  const makeShop = async ({ config = shopConfig(), folder }: ShopOptions, from?: Template): Promise<Shop> => {
    const name = `shop_${++shops}`
    const url = await (from === undefined ? createShop(postgres.url, name) : copyShop(postgres.url, name, from.name))
    const dropFolder = path.join(folders, name)
    const variables = {
      OPS_URL: url,
      PARTNER_URL: `${ftp.url.replace('//', `//${ftpUser}:${ftpPassword}@`)}/${name}`,
      MASK_KEY: maskKey,
    }
    const project = await makeProject({ config, variables, ...(folder === undefined ? {} : { folder }) })
    const db = new Client(url)
    db.on('error', () => {}) // some cases end its session
    await db.connect()
    opened.push({ remove: async () => [await db.end(), await project.remove()] as never })
    const drop: Shop['drop'] = (file, content, md5) => dropFile(dropFolder, file, content, md5)
    if (from === undefined) {
      await mkdir(dropFolder)
      await drop('town.csv', townsCsv())
    } else {
      await cp(from.dropFolder, dropFolder, { recursive: true, preserveTimestamps: true })
      await cp(from.folder, project.folder, { recursive: true })
    }
    const secrets = [new URL(url).password, ftpPassword, maskKey]
    return { ...project, db, dropFolder, secrets, drop }
  }
  const templates = new Map<string, Promise<Template>>()
  const makeTemplate = async (config: string): Promise<Template> => {
    const shop = await makeShop({ config })
    await shop.run()
    await shop.db.end() // a database that somebody uses cannot be copied
    return { name: databaseOf(shop), ...shop }
  }
  return {
    postgres,
    ftp,
    base,
    observer,
    shop: options => makeShop(options ?? {}),
    loadedShop: async ({ config = shopConfig(), folder } = {}) => {
      const template = templates.get(config) ?? makeTemplate(config)
      templates.set(config, template)
      return makeShop({ config, ...(folder === undefined ? {} : { folder }) }, await template)
    },
    stop: async () => {
      for (const { remove } of opened) await remove()
      await observer.end()
      await ftp.stop()
      await removePostgres(dir)
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** Holds the sales of a shop until its session rolls back: who reads them waits. */
export async function holdSales({ db }: Shop): Promise<void> {
  await db.query('begin; lock table sale in access exclusive mode')
}

/** Waits until somebody waits for a table of the shop. Generous: on a loaded machine a run takes many seconds. */
export async function untilWaiting({ observer }: Systems, shop: Shop): Promise<void> {
  const waiting = `select count(*)::int as n from pg_stat_activity
    where application_name = 'naru' and wait_event_type = 'Lock' and datname = $1`
  const found = async (): Promise<unknown> => (await observer.query(waiting, [databaseOf(shop)])).rows
  await expect.poll(found, { timeout: 120_000, interval: 100 }).toEqual([{ n: 1 }])
}

/** Starts a run that stands still in the middle of its reading, because the source holds one table. */
export async function startHeld(systems: Systems, shop: Shop): Promise<Going> {
  await holdSales(shop)
  const going = shop.start(['run'])
  await untilWaiting(systems, shop)
  return going
}

function databaseOf({ variables }: Pick<Shop, 'variables'>): string {
  return new URL(variables['OPS_URL'] ?? '').pathname.slice(1)
}

/** A shop with a run behind it, from which others are copied. */
interface Template extends Pick<Shop, 'folder' | 'dropFolder'> {
  readonly name: string
}

async function copyShop(server: string, name: string, template: string): Promise<string> {
  const admin = new Client(server)
  await admin.connect()
  try {
    await admin.query(`create database ${name} template ${template}`)
  } finally {
    await admin.end()
  }
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function createShop(server: string, name: string): Promise<string> {
  const admin = new Client(server)
  await admin.connect()
  await admin.query(`create database ${name}`)
  await admin.end()
  const url = new URL(server)
  url.pathname = `/${name}`
  const db = new Client(url.href)
  await db.connect()
  await db.query(`
    create table customer (id integer primary key, name text not null, email text, town text);
    insert into customer select i, 'Person ' || i, 'person' || i || '@shop.test', 'T' || i % 3 from generate_series(1, ${customers}) i;
    create table sale (
      id integer primary key, customer integer not null, amount integer not null, sold date not null,
      updated_at timestamptz not null default now());
    insert into sale select i, i % ${customers} + 1, i * 10, date '2026-01-01' + i % 90 from generate_series(1, ${sales}) i;`)
  await db.end()
  return url.href
}

/** The partner's list: three towns, and more lines when given. */
export function townsCsv(...more: readonly string[]): string {
  return `${['code,name,people', 'T0,Seoul,9400000', 'T1,Busan,3300000', 'T2,Jeju,490000', ...more].join('\n')}\n`
}

async function dropFile(
  folder: string,
  name: string,
  content: string | Uint8Array,
  md5: string | null = createHash('md5').update(content).digest('hex'),
): Promise<void> {
  await writeFile(path.join(folder, name), content)
  if (md5 !== null) await writeFile(path.join(folder, `${name}.md5`), `${md5}  ${name}\n`)
}

/** The parts of the config that a case may want otherwise. */
export interface ShopParts {
  /** Lines added to the options of source `ops`. */
  readonly ops?: string
  readonly partner?: string
  readonly saleRules?: string
  readonly saleColumns?: string
}

/** A small project with every stage: two sources, three entities, masked exports, a star, a summary. */
export function shopConfig({ ops = '', partner = '', saleRules = '', saleColumns = '' }: ShopParts = {}): string {
  return `import { defineConfig, duckdb, dw, env, files, mask, ods, pg, rule, t } from 'naru'

const ops = pg('ops', {
  url: env('OPS_URL'),
  connectTimeout: '5s',
  chunkRows: 60,
  schema: {
    customer: {
      key: ['id'],
      columns: { id: t.int(), name: t.text().pii(), email: t.text().null().pii(), town: t.text().null() },
    },
    sale: {
      key: ['id'],
      columns: { id: t.int(), customer: t.int(), amount: t.int(), sold: t.date(), updated_at: t.timestamptz(), ${saleColumns} },
    },
  },
  changes: { sale: { technique: 'timestamp', column: 'updated_at', deletes: { sweep: '0s' } } },
  ${ops}
})
const partner = files('partner', {
  url: env('PARTNER_URL'),
  timeout: '5s',
  tables: {
    town: {
      glob: 'town*.csv', key: 'code', scope: 'full', checksum: 'md5-sidecar',
      columns: { code: t.text(), name: t.text(), people: t.int() },
    },
  },
  ${partner}
})

const town = ods
  .entity('town', { key: 'code', columns: { code: t.text(), name: t.text(), people: t.int() } })
  .from(partner.town, r => ({ ...r }))
const customer = ods
  .entity('customer', {
    key: 'id',
    columns: { id: t.int(), name: t.text().pii(), email: t.text().null().pii(), town: t.text().null() },
  })
  .from(ops.customer, r => ({ ...r }))
  .rules({ email: rule.pattern(/^[^@]+@[^@]+$/), town: rule.ref(town) })
const sale = ods
  .entity('sale', { key: 'id', columns: { id: t.int(), customer: t.int(), amount: t.int(), sold: t.date() } })
  .from(ops.sale, r => ({ id: r.id, customer: r.customer, amount: r.amount, sold: r.sold }))
  .rules({ amount: rule.range(0, 1_000_000).limit('10%'), customer: rule.ref(customer) ${saleRules} })

const x = {
  town: ods.export('town', town),
  customer: ods.export('customer', customer, { mask: { name: mask.redact(), email: mask.hash(env('MASK_KEY')) } }),
  sale: ods.export('sale', sale),
}
const date = dw.calendar('date')
const dTown = dw.dimension('town', x.town, { type2: ['name'] })
const dCustomer = dw.dimension('customer', x.customer)
const fact = dw.fact('sale', x.sale, {
  grain: 'id', at: 'sold', dims: { customer: dCustomer.by('customer'), date: date.by('sold') },
})
const monthly = dw.summary('monthly', fact, {
  by: f => ({ month: f.date.month, town: f.customer.town }),
  get: f => ({ sales: f.count(), amount: f.amount.sum() }),
})

export default defineConfig({
  name: 'shop',
  engine: duckdb({ path: 'data.duckdb' }),
  models: { dTown, monthly },
})
`
}
