import type { Position } from '../../services/bus/contract.ts'
import type { OpenStream, StreamTable } from '../stream/session.ts'

/** A session between two of its ticks, as the work of another command finds it. */
export interface SessionAtRest {
  /** As they are open now: each may be opened anew between two of its ticks. */
  readonly streams: readonly OpenStream[]
  /**
   * Ticks until the table has what its topic holds up to this place, which its reader has written. False when it stopped before
   * that, or the session ends. Throws what a tick failed with, which ends the session as well.
   */
  reach(stream: OpenStream, to: { readonly table: StreamTable; readonly place: Position }): Promise<boolean>
  /** Does work that has a run of its own: the ticks after it are of another run than those before it. */
  betweenRuns<T>(work: () => Promise<T>): Promise<T>
}

/** Does a job while nothing else writes, and no session goes on; `what` says it to people. */
export type Alone = <T>(what: string, signal: AbortSignal, work: () => Promise<T>) => Promise<T>

/** The same between two ticks of a session, which goes on; with `null` where none does. */
export type Between = <T>(
  what: string,
  signal: AbortSignal,
  work: (session: SessionAtRest | null) => Promise<T>,
) => Promise<T>

/** How the work of other commands gets its turn in a server. */
export interface Turns {
  readonly alone: Alone
  readonly between: Between
}

/** Work that waits for a moment between two ticks, as the session sees it. */
export interface WaitingWork {
  /** Called when some comes; gives what ends the calls. */
  onCome(listener: () => void): () => void
  /** Does what waits. Never throws: who asked for it is told. */
  work(session: SessionAtRest): Promise<void>
}
