import type { Decompress } from 'fzstd'
import type * as yauzl from 'yauzl'
import type { Env } from '../../../core/env.ts'
import type { FileLimits } from './limits.ts'

/** A taken file: how it lies here, and what it may become. */
export interface Packed {
  readonly env: Env
  /** Its name, for messages. */
  readonly file: string
  readonly localPath: string
  readonly bytes: number
  /** Pattern of the members of an archive. */
  readonly members: string
  readonly limits: FileLimits
  readonly drivers: Drivers
}

/** Packages that are loaded when a file needs them. */
export interface Drivers {
  zip(): Promise<typeof yauzl>
  zstd(): Promise<{ readonly Decompress: typeof Decompress }>
}
