import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { http as builder, t } from '../../index.ts'
import { realEnv, type Env } from '../../core/env.ts'
import { Secret } from '../../core/secret.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { openAdapter } from '../../services/adapter/http/open.ts'

/** A real HTTP server on loopback; what it answers is each test's. */
export interface Api {
  readonly url: string
  /** Method and address of every request so far, and its headers. */
  readonly requests: { readonly url: URL; readonly headers: IncomingMessage['headers'] }[]
  answer: (request: IncomingMessage, response: ServerResponse, url: URL) => void
  stop(): Promise<void>
}

export async function startApi(answer: Api['answer'] = (_, response) => json(response, [])): Promise<Api> {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api')
    api.requests.push({ url, headers: request.headers })
    api.answer(request, response, url)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const api: Api = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    answer,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return api
}

/** Answers with status 200 and JSON, as it is or from a value. */
export function json(response: ServerResponse, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

type Options = Parameters<typeof builder>[1]

/** Two columns, one page: the rest is each test's. */
export const plain = { path: '/rows', key: 'id', columns: { id: t.big(), name: t.text().null() } } as const

/** What a test gives: an env of its own, waits that are short, and options of the config. */
export interface Opened {
  readonly adapter: Adapter
  readonly stateDir: string
  close(): Promise<void>
}

/** Opens the adapter with options that the builder checked, as a config would. Waits are not slept but noted. */
export async function openApi(
  options: object,
  more: { readonly env?: Partial<Env>; readonly waits?: number[] } = {},
): Promise<Opened> {
  const given = { retries: 0, ...options } as unknown as Options
  const source = builder('crm', given)
  const [about] = Object.getOwnPropertySymbols(source)
  const { def } = (source as unknown as Record<symbol, { def: { options: Record<string, unknown> } }>)[
    about as symbol
  ] as { def: { options: Record<string, unknown> } }
  const stateDir = await mkdtemp(path.join(os.tmpdir(), 'naru-http-'))
  const real = realEnv()
  const clock = {
    ...real.clock,
    sleep: async (ms: number): Promise<void> => {
      more.waits?.push(ms)
    },
  }
  const adapter = await openAdapter({
    source: 'crm',
    options: def.options,
    secret: () => new Secret('a-secret-token'),
    configDir: stateDir,
    stateDir,
    env: { ...real, ...(more.waits === undefined ? {} : { clock }), ...more.env },
  })
  return {
    adapter,
    stateDir,
    close: async () => {
      await adapter.close()
      await rm(stateDir, { recursive: true, force: true })
    },
  }
}
