import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import * as sdk from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { realEnv } from '../../src/core/env.ts'
import { Secret } from '../../src/core/secret.ts'
import { filesPromises } from '../../src/services/adapter/conformance-files.ts'
import { openAdapter } from '../../src/services/adapter/files/open.ts'
import { startMinio, type Minio } from '../servers/minio.ts'
import { makeFolder } from '../servers/server.ts'
import { startSshd, type Sshd } from '../servers/sshd.ts'
import { startVsftpd, type Vsftpd } from '../servers/vsftpd.ts'
import { ordersCsv } from '../support/inbox.ts'
import { makeProject } from '../support/project.ts'

/** A new empty folder on a real server: how a source names it, and how its partner drops files there. */
interface Box {
  /** Options of the source besides `url`, as they are written in a config, and the files that they name. */
  readonly options: Readonly<Record<string, string>>
  readonly files: Readonly<Record<string, string>>
  readonly url: string
  readonly drop: (name: string, content: string | Uint8Array) => Promise<void>
  readonly remove: (name: string) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
}

let sshd: Sshd
let vsftpd: Vsftpd
let plainFtp: Vsftpd
let minio: Minio
let client: sdk.S3Client
const ending: (() => Promise<unknown>)[] = []
const never = new AbortController().signal

beforeAll(async () => {
  sshd = await startSshd()
  vsftpd = await startVsftpd('explicit')
  plainFtp = await startVsftpd('none')
  minio = await startMinio()
  const { endpoint, accessKeyId, secretAccessKey } = minio
  const credentials = { accessKeyId, secretAccessKey }
  client = new sdk.S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials })
})
afterAll(async () => {
  client?.destroy()
  for (const server of [sshd, vsftpd, plainFtp, minio]) await server?.stop()
})
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

const boxes: Readonly<Record<string, () => Promise<Box>>> = {
  sftp: async () => {
    const folder = makeFolder('box')
    const options = { privateKey: "file('id')", hostKey: `'${sshd.hostKey}'` }
    const url = `sftp://${sshd.user}@127.0.0.1:${sshd.port}${folder}`
    return { ...boxIn(folder), options, files: { id: sshd.privateKey }, url }
  },
  ftps: async () => {
    const { local, remote } = vsftpd.makeBox()
    const login = `${vsftpd.user}:${encodeURIComponent(vsftpd.password)}`
    const url = `ftps://${login}@127.0.0.1:${vsftpd.port}/${remote}`
    return { ...boxIn(local), options: { ca: "file('ca.pem')" }, files: { 'ca.pem': vsftpd.certificate }, url }
  },
  ftp: async () => {
    const { local, remote } = plainFtp.makeBox()
    const login = `${plainFtp.user}:${encodeURIComponent(plainFtp.password)}`
    return { ...boxIn(local), options: {}, files: {}, url: `ftp://${login}@127.0.0.1:${plainFtp.port}/${remote}` }
  },
  s3: async () => {
    const bucket = `box-${ending.length}-${Date.now()}`
    await client.send(new sdk.CreateBucketCommand({ Bucket: bucket }))
    const at = (name: string): { Bucket: string; Key: string } => ({ Bucket: bucket, Key: `in/${name}` })
    const drop = async (name: string, Body: string | Uint8Array): Promise<void> => {
      await client.send(new sdk.PutObjectCommand({ ...at(name), Body }))
    }
    const remove = async (name: string): Promise<void> => {
      await client.send(new sdk.DeleteObjectCommand(at(name)))
    }
    return {
      options: { endpoint: `'${minio.endpoint}'`, accessKeyId: "file('key-id')", secretAccessKey: "file('key')" },
      files: { 'key-id': minio.accessKeyId, key: minio.secretAccessKey },
      url: `s3://${bucket}/in`,
      drop,
      remove,
      rename: async (from, to) => {
        const source = `${bucket}/in/${encodeURIComponent(from)}`
        await client.send(new sdk.CopyObjectCommand({ ...at(to), CopySource: source }))
        await remove(from)
      },
    }
  },
}

function boxIn(folder: string): Pick<Box, 'drop' | 'remove' | 'rename'> {
  const at = (name: string): string => path.join(folder, name)
  return {
    drop: async (name, content) => {
      // Read by the server's account, which is another.
      await mkdir(path.dirname(at(name)), { recursive: true })
      await writeFile(at(name), content)
    },
    remove: name => rm(at(name)),
    rename: (from, to) => rename(at(from), at(to)),
  }
}

for (const [kind, makeBox] of Object.entries(boxes)) {
  describe(`a folder on ${kind}`, () => {
    for (const promise of filesPromises) {
      test(`keeps the contract of files: ${promise.name}`, async () => {
        const box = await makeBox()
        await promise.check({
          open: async () => openFiles(box),
          drop: box.drop,
          remove: box.remove,
        })
      })
    }

    test('the last line of a file that is none of its rows is compared with the rows that came', async () => {
      const box = await makeBox()
      const files = await openFiles(box)
      await box.drop('good.csv', 'id,amount\n1,10\n2,20\nTRAILER 2 30\n')
      await box.drop('short.csv', 'id,amount\n1,10\nTRAILER 2 30\n')
      const text = { kind: 'text' } as const
      const shape = {
        glob: '*.csv',
        columns: ['id', 'amount'].map(name => ({ name, type: text, nullable: true, personal: false })),
        format: { kind: 'csv', delimiter: ',', quote: null, header: true, nulls: [] },
        encoding: 'utf-8',
        checksum: 'none',
        trailer: String.raw`^TRAILER (?<count>\d+) (?<amount>\d+)$`,
      } as const
      await expect.poll(async () => (await files.list(shape, never)).complete.length).toBe(2)
      const { complete } = await files.list(shape, never)
      const rowsOf = async (name: string): Promise<number> => {
        const taken = await files.take(
          complete.find(it => it.name === name)!,
          shape,
          never,
        )
        let rows = 0
        for await (const part of files.read(taken, shape, {}, never)) {
          for await (const { batch } of part.batches) rows += batch.rows
        }
        return rows
      }
      expect(await rowsOf('good.csv')).toBe(2)
      await expect(rowsOf('short.csv')).rejects.toMatchObject({ code: 'FILE_TRAILER' })
    })

    test('naru run takes each complete file once, leaves a half one, and knows a file that is sent again', async () => {
      const box = await makeBox()
      const project = await makeProject({ config: configFor(box), variables: { BOX_URL: box.url } })
      ending.push(() => project.remove())
      for (const [name, content] of Object.entries(box.files)) await writeFile(path.join(project.folder, name), content)

      await box.drop('dt=2026-01-01/order1.csv', ordersCsv('1,Ann,10,', '2,Bob,20,'))
      await box.drop('dt=2026-01-02/order2.csv.part', ordersCsv('3,Cid,3'))
      const first = await project.run()
      expect(first.rowsStaged).toBe(2)
      const known = 'select name, state from naru.file order by all'
      expect(await project.rows(known)).toEqual([{ name: 'dt=2026-01-01/order1.csv', state: 'loaded' }])

      await box.rename('dt=2026-01-02/order2.csv.part', 'dt=2026-01-02/order2.csv')
      await box.drop('dt=2026-01-02/order2.csv', ordersCsv('3,Cid,30,'))
      const second = await project.run()
      expect(second.rowsStaged).toBe(1)

      await box.drop('dt=2026-01-03/order1 again.csv', ordersCsv('1,Ann,10,', '2,Bob,20,'))
      const third = await project.run()
      expect(third.rowsStaged).toBe(0)
      expect(await project.rows(known)).toEqual([
        { name: 'dt=2026-01-01/order1.csv', state: 'loaded' },
        { name: 'dt=2026-01-02/order2.csv', state: 'loaded' },
        { name: 'dt=2026-01-03/order1 again.csv', state: 'duplicate' },
      ])
      expect(await project.rows('select id from ods."order" order by id')).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }])
    })
  })
}

async function openFiles(box: Box): Promise<NonNullable<Awaited<ReturnType<typeof openAdapter>>['files']>> {
  const secrets: Record<string, string> = { url: box.url, ...box.files }
  const options: Record<string, unknown> = { url: { kind: 'secret', from: 'env', name: 'url' }, settle: '30ms' }
  for (const [name, written] of Object.entries(box.options)) {
    const file = /^file\('(.+)'\)$/.exec(written)?.[1]
    options[name] = file === undefined ? written.slice(1, -1) : { kind: 'secret', from: 'env', name: file }
  }
  const adapter = await openAdapter({
    source: 'partner',
    options,
    secret: ref => new Secret(secrets[ref.name] as string),
    configDir: import.meta.dirname,
    stateDir: makeFolder('state'),
    env: realEnv(),
  })
  ending.push(() => adapter.close())
  if (adapter.files === undefined) throw new Error('the adapter reads no files')
  return adapter.files
}

function configFor(box: Box): string {
  const options = Object.entries(box.options).map(([name, value]) => `${name}: ${value},`)
  return `import { defineConfig, duckdb, env, file, files, ods, t } from 'naru'

const shop = files('shop', {
  url: env('BOX_URL'), settle: '50ms', ${options.join(' ')}
  tables: {
    order: {
      glob: 'dt=*/order*.csv', key: 'id', scope: 'delta',
      columns: { id: t.int(), customer: t.text(), amount: t.int(), note: t.text().null() },
    },
  },
})
const order = ods
  .entity('order', { key: 'id', columns: { id: t.int(), customer: t.text(), amount: t.int(), note: t.text().null() } })
  .from(shop.order, r => ({ ...r }))
export default defineConfig({
  name: 'box',
  engine: duckdb({ path: 'data.duckdb' }),
  models: { orders: ods.export('order', order) },
})
`
}
