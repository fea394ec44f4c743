import type { Env } from '../../../core/env.ts'
import { acquireLease } from '../../../core/lease-files.ts'
import type { Coordinator } from '../contract.ts'

/** Leases as files of the state directory, for processes of one machine. */
export function localCoordinator(env: Env, folder: string): Coordinator {
  return { acquire: (name, holder) => acquireLease(env, folder, name, holder) }
}
