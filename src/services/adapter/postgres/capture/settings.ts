import { fail } from '../../../../core/errors.ts'
import { durationMs } from '../../../../core/implementation.ts'
import type { AdapterOpening } from '../../contract.ts'

/** What the options say of streams of changes. */
export interface LogSettings {
  readonly slot: string
  readonly publication: string
  readonly silenceMs: number
  /** 0 is never. */
  readonly heartbeatMs: number
  /** The slot goes on at a standby that takes over, where the server has such slots. */
  readonly failover: boolean
}

/** Longest name that the server keeps. */
const NAME_MAX = 63

/** Reads the options. Throws `OPTION_INVALID` for a slot that the server would not take. */
export function logSettings({ source, options }: AdapterOpening): LogSettings {
  const slot = (options['slot'] as string | undefined) ?? slotName(source)
  if (!/^[a-z0-9_]+$/.test(slot) || slot.length > NAME_MAX) {
    const problem = `must be lower-case letters, digits and _, ${NAME_MAX} at most; this is ${JSON.stringify(slot)}`
    throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'slot', problem })
  }
  return {
    slot,
    publication: (options['publication'] as string | undefined) ?? slot,
    silenceMs: durationMs(options['streamTimeout'] as string) as number,
    heartbeatMs: durationMs(options['heartbeat'] as string) as number,
    failover: options['failover'] as boolean,
  }
}

function slotName(source: string): string {
  return `naru_${source.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`.slice(0, NAME_MAX)
}
