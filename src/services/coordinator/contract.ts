import type { Lease } from '../../core/lease-files.ts'

export type { Lease }

/**
 * Who may work. A lease is held by one process at a time; its token grows with each holder, so that what a former
 * holder still writes can be told from what the present one writes.
 */
export interface Coordinator {
  /**
   * Takes the lease `name`, once, without waiting. Throws `RUN_HELD` with the holder's name when a living process has
   * it; takes over from one that is gone.
   */
  acquire(name: string, holder: string): Promise<Lease>
}
