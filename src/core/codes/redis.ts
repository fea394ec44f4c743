import { entry } from './entry.ts'

/** Errors of Redis as a source. */
export const redisCodes = {
  REDIS_CLUSTER: entry({
    text: (p: { source: string; address: string }) =>
      `source "${p.source}" at ${p.address} is a node of a Redis cluster, which has a part of the keys only`,
    fix: 'Read a server that is no cluster, such as a replica that holds all keys.',
    retry: 'never',
  }),
  REDIS_KEYS: entry({
    text: (p: { source: string; table: string; most: number }) =>
      `"${p.table}" of source "${p.source}" has more than ${p.most} keys`,
    fix: 'Narrow its pattern, or raise maxKeys of the source: each key that was seen costs about 100 bytes of memory.',
    retry: 'never',
  }),
  REDIS_STREAM_ID: entry({
    text: (p: { stream: string; id: string }) =>
      `the ids of stream "${p.stream}" cannot be remembered: its last one is "${p.id}", which begins with no millisecond`,
    fix: 'Read the stream whole: leave since out.',
    retry: 'never',
  }),
} as const
