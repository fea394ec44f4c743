import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import type { OpenProject } from '../project.ts'
import { pack, type Message } from './wire.ts'

/** The dialogue that this file's folder speaks. A process that speaks another one is not asked. */
export const dialogue = 1

/** The command that other commands may hand their work to: the server. */
export const serverCommand = 'naru start'

/** What a process says of itself before it is asked anything. */
export interface Greeting {
  readonly dialogue: number
  /** Version of the package. */
  readonly naru: string
  /** The command that has the database open: `naru start`, `naru run`. */
  readonly command: string
  readonly process: number
  readonly host: string
  readonly project: string
  /** Hash of the configuration that it works by. */
  readonly config: string
  readonly sinceMicros: bigint
}

/** What this process says of itself. */
export function greetingOf(open: OpenProject, command: string): Greeting {
  const { env, project } = open
  return {
    dialogue,
    naru: version(),
    command,
    process: env.processes.pid,
    host: env.processes.host,
    project: project.name,
    config: configHash(open),
    sinceMicros: env.clock.nowMicros(),
  }
}

/** Hash of a configuration as it was evaluated: two that mean the same have the same. */
export function configHash({ project }: Pick<OpenProject, 'project'>): string {
  return createHash('sha256').update(pack(project)).digest('hex')
}

/** The version of this package. */
export function version(): string {
  return (createRequire(import.meta.url)('../../../package.json') as { version: string }).version
}

/** A greeting out of a line; `null` when it is none. */
export function greetingIn(line: Message | null): Greeting | null {
  if (line === null || typeof line['dialogue'] !== 'number' || typeof line['command'] !== 'string') return null
  return line as unknown as Greeting
}

/** The process as errors and notes call it. */
export function holderName({ command, process }: Pick<Greeting, 'command' | 'process'>): string {
  return `${command} (process ${process})`
}
