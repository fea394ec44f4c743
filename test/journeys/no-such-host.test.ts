import { afterEach, describe, expect, test } from 'vitest'
import { adapters } from '../../src/app/registry.ts'
import { isNaruError, type Code } from '../../src/core/errors.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import type { Adapter } from '../../src/services/adapter/contract.ts'
import { openForTest } from '../../src/testing/open-adapter.ts'

// A name that nobody has, with the options as they are when nothing is said: one code for every system, and no long wait.

const host = 'no-such-host.invalid'
const password = 'a-secret-word'
const open: Adapter[] = []
afterEach(async () => {
  for (const adapter of open.splice(0)) await adapter.close()
})

const text = { kind: 'text' } as const
const columns = [{ name: 'id', type: text, nullable: false, personal: false }]

interface Case {
  readonly kind: string
  readonly url: string
  readonly code: Code
  readonly more?: Readonly<Record<string, unknown>>
}

const cases: readonly Case[] = [
  { kind: 'postgres', url: `postgres://me:${password}@${host}/d`, code: 'SOURCE_UNREACHABLE' },
  { kind: 'mysql', url: `mysql://me:${password}@${host}/d`, code: 'SOURCE_UNREACHABLE' },
  {
    kind: 'redis',
    url: `redis://me:${password}@${host}/0`,
    code: 'SOURCE_UNREACHABLE',
    more: {
      tables: { t: { pattern: 'a:*', as: 'hash', columns: { id: { type: text, nullable: false } }, key: ['id'] } },
    },
  },
  { kind: 'cassandra', url: `cassandra://me:${password}@${host}/k`, code: 'SOURCE_UNREACHABLE' },
  { kind: 'files', url: `ftp://me:${password}@${host}/in`, code: 'STORAGE_UNREACHABLE' },
  { kind: 'files', url: `ftps://me:${password}@${host}/in`, code: 'STORAGE_UNREACHABLE' },
  {
    kind: 'files',
    url: `sftp://me:${password}@${host}/in`,
    code: 'STORAGE_UNREACHABLE',
    more: { hostKey: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU' },
  },
  {
    kind: 'files',
    url: 's3://bucket/in',
    code: 'STORAGE_UNREACHABLE',
    more: { endpoint: `https://${host}`, accessKeyId: secret('KEY'), secretAccessKey: secret('WORD') },
  },
]

function secret(name: string): object {
  return { kind: 'secret', from: 'env', name }
}

describe('a host that nobody has', () => {
  test.each(cases)(
    '$kind at $url: $code names it, soon and without the password',
    async ({ kind, url, code, more }) => {
      const beganMs = performance.now()
      const error = await ask({ kind, url, code, ...(more === undefined ? {} : { more }) }).catch((it: unknown) => it)
      expect(isNaruError(error, code), String(error)).toBe(true)
      const { message, retry } = error as { message: string; retry: string }
      expect(message).toContain(host)
      expect(message).toContain('"test"')
      expect(message).not.toContain(password)
      expect(retry).toBe('later')
      expect(performance.now() - beganMs).toBeLessThan(40_000)
    },
  )
})

/** The first question of a run to the system. */
async function ask({ kind, url, more }: Case): Promise<unknown> {
  const implementation = adapters[kind] as NonNullable<(typeof adapters)[string]>
  const secrets = { URL: url, KEY: 'key', WORD: password }
  const adapter = await openForTest(implementation, { url: secret('URL'), ...more } as never, secrets)
  open.push(adapter)
  if (adapter.files !== undefined) return adapter.files.list({ glob: '*.csv', columns } as never, never)
  return adapter.tables?.openSnapshot(never)
}
