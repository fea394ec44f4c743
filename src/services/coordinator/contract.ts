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

export interface Lease {
  /** Larger than the token of every earlier holder. */
  readonly token: bigint
  /** Gives the lease back. Called once, also after a failure; a crash leaves it to the next taker's check. */
  release(): Promise<void>
}
