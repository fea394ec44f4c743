import { implement, option } from '../../../core/implementation.ts'

const KiB = 1024

/** The receiver of events over HTTP, described. */
export const events = implement({
  service: 'adapter',
  kind: 'events',
  summary: 'Signed JSON events that applications send over HTTP; each is answered once it is in the durable log.',
  needs: {},
  options: {
    secret: option.required.secret('Key of the signatures, of at least 32 characters: applications sign with it.'),
    host: option.text('Address of this machine that is listened on; only 127.0.0.1 or ::1, for nothing is encrypted.', {
      default: '127.0.0.1',
    }),
    port: option.int('Port that is listened on.', { default: 4650, min: 1, max: 65_535 }),
    replayWindow: option.duration('How far the time of a signature may be from our clock.', { default: '5m' }),
    remember: option.duration('How long an idempotency key is kept: a second event with it changes nothing.', {
      default: '1d',
    }),
    rememberedKeys: option.int(
      'Most idempotency keys that are kept; further events are refused with 503 until some expire.',
      {
        default: 1_000_000,
        min: 1_000,
        max: 10_000_000,
      },
    ),
    maxEventBytes: option.int('Largest event that is taken.', { default: 1024 * KiB, min: KiB, max: 16 * 1024 * KiB }),
    requestTimeout: option.duration('Longest wait for the whole of a request.', { default: '15s' }),
    connections: option.int('Most connections at the same time.', { default: 256, min: 1, max: 10_000 }),
    eventsPerSecond: option.int('Most requests that are looked at in a second; 0 is as fast as it goes.', {
      default: 0,
      min: 0,
    }),
  },
  open: () => import('./open.ts'),
})
