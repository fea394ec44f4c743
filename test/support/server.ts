import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { openProject } from '../../src/app/project.ts'
import { reading } from '../../src/app/read.ts'
import { realEnv } from '../../src/core/env.ts'
import { rawSql } from '../../src/core/sql.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import type { Going } from './command.ts'
import { jsonOf, type TestProject } from './project.ts'

/** `naru start` of a project, ready to be asked; killed at the end of the test. */
export async function startServer(project: TestProject, ...args: readonly string[]): Promise<Going> {
  const going = project.start(['start', ...args], { limitMs: 240_000 })
  onTestFinished(async () => {
    going.child.kill('SIGKILL')
    await going.ended
  })
  await going.says(args.includes('--json') ? '"kind":"ready"' : 'Ready at')
  return going
}

/** Rows of the database, asked of whoever has it open. */
export async function rowsNow({ configFile, folder }: TestProject, query: string): Promise<readonly Row[]> {
  const open = await openProject(realEnv(), { config: configFile, cwd: folder })
  return reading(open, new AbortController().signal, tx => tx.rows(rawSql(query)))
}

/** What `naru status --json` says. */
export async function statusOf(project: TestProject): Promise<{
  readonly server: {
    readonly state: string
    readonly process: number
    readonly doing: string | null
    readonly troubles: readonly { readonly what: string; readonly code: string; readonly text: string }[]
  } | null
  readonly runs: readonly { readonly state: string }[]
}> {
  return jsonOf(await project.naru(['status', '--json'])) as Awaited<ReturnType<typeof statusOf>>
}

/** A bare connection to the socket of a project: what a program that is no command of ours would have. */
export interface Bare {
  readonly socket: net.Socket
  /** Everything that came so far. */
  text(): string
  /** Resolves when the other side has ended. */
  readonly ended: Promise<unknown>
  /** Sends a line with the token of the project. */
  ask(request: object): void
}

/** The address and the token of the process that serves a project. */
export async function addressOf({
  folder,
}: TestProject): Promise<{ readonly address: string; readonly token: string }> {
  return JSON.parse(await readFile(path.join(folder, '.naru', 'server.json'), 'utf8')) as never
}

export async function connectBare(project: TestProject): Promise<Bare> {
  const { address, token } = await addressOf(project)
  const socket = net.connect(address)
  socket.on('error', () => {})
  const ended = new Promise(resolve => socket.once('close', resolve))
  let text = ''
  socket.setEncoding('utf8').on('data', (part: string) => (text += part))
  onTestFinished(() => void socket.destroy())
  await once(socket, 'data')
  return {
    socket,
    ended,
    text: () => text,
    ask: request => void socket.write(`${JSON.stringify({ ...request, token })}\n`),
  }
}
