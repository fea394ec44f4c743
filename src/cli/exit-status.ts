/**
 * What a command ends with beside 1 and 2, which an error brings with it (`KnownError.exit`), by name; `naru --help`, the
 * READMEs and the guide list all of them.
 */
export const exitStatus = {
  /** A resync read rows that were set aside, and some of them still are. */
  rejected: 3,
  /** A run published what it read, and has more to read in the hours of a source. */
  waiting: 4,
  /** A run published what it read, and left tables as they were whose shape in the source changed. */
  stopped: 5,
  /** A run published what it read, and found rows of a stream that are not what the source has. */
  differing: 6,
} as const

/** Every status with what it means, in a few words. */
export const exitStatuses: readonly (readonly [status: number, meaning: string])[] = [
  [0, 'done'],
  [1, 'failed'],
  [2, 'wrong use'],
  [3, 'finished but rejects passed a limit of the config, or rows are still set aside'],
  [exitStatus.waiting, 'done but tables wait for the hours of their source'],
  [
    exitStatus.stopped,
    'done but tables stay as they were: their source changed its shape, or their stream cannot go on',
  ],
  [exitStatus.differing, 'done but a stream is not what its source has'],
]
