import type { OpenProject, ProjectPlace } from '../project.ts'
import type { LiveStatus } from '../live/status-types.ts'
import type { SubscriberStatus } from '../subscribe/feeds.ts'
import { ask, whoServes } from './ask.ts'
import { configHash, serverCommand } from './greeting.ts'

/** What a server tells whoever runs it, as it happens. */
export type ServerEvent =
  | { readonly kind: 'ready'; readonly address: string; readonly process: number }
  | {
      readonly kind: 'note'
      readonly level: 'info' | 'warn' | 'error'
      readonly text: string
      readonly code: string | null
    }

/** A table or a stream that fails. */
export interface Trouble {
  /** `source.table`, or the source with its technique. */
  readonly what: string
  readonly code: string
  readonly text: string
  /** What a person may do. */
  readonly fix: string
  readonly sinceMicros: bigint
  /** False: it stands still until a person mends it; a command that is handed over, or the next start, tries it then. */
  readonly isRetried: boolean
  /** Attempts that failed so far, and when the next one is; not there where nobody counts. */
  readonly failures?: number
  readonly againMicros?: bigint
}

/** What a server says of itself. */
export interface ServerReport {
  readonly command: string
  readonly process: number
  readonly host: string
  readonly sinceMicros: bigint
  readonly uptimeMs: number
  /** `stalled`: something stands still that has no error of its own. `trouble`: something fails. */
  readonly state: 'well' | 'trouble' | 'stalled'
  /** What it does at this moment. */
  readonly doing: string | null
  readonly alarms: readonly { readonly code: string; readonly text: string; readonly fix: string }[]
  readonly troubles: readonly Trouble[]
  /** The loop as it tells of itself; `null` before it does. */
  readonly live: LiveStatus | null
  /** Applications that take changes, and what each holds back. */
  readonly subscribers: readonly SubscriberStatus[]
  readonly lastError: { readonly code: string; readonly text: string; readonly atMicros: bigint } | null
  /** Hash of the configuration that it works by: another one on disk is taken up by a restart. */
  readonly config: string
}

/** A command that has the database open, and is no server. */
export interface HolderReport {
  readonly command: string
  readonly process: number
  readonly host: string
  readonly sinceMicros: bigint
  readonly uptimeMs: number
  readonly config: string
}

/** True when the configuration on disk is not the one that the process works by. */
export function isOtherConfig(open: Pick<OpenProject, 'project'>, { config }: Pick<HolderReport, 'config'>): boolean {
  return config !== configHash(open)
}

/** What the process that has the database open says of itself; `null` when there is none. */
export async function serverReport(
  open: ProjectPlace,
  signal: AbortSignal,
): Promise<ServerReport | HolderReport | null> {
  const who = await whoServes(open, signal)
  if (who === null) return null
  if (who.command !== serverCommand) {
    const { command, process, host, sinceMicros, config } = who
    const uptimeMs = Number((open.env.clock.nowMicros() - sinceMicros) / 1000n)
    return { command, process, host, sinceMicros, uptimeMs, config }
  }
  const asking = await ask(open, { ask: 'status' }, signal)
  if (asking === null) return null
  try {
    return { ...((await asking.next())['result'] as Omit<ServerReport, 'config'>), config: who.config }
  } finally {
    asking.close()
  }
}
