import { implement, option } from '../../../core/implementation.ts'

/** Bus `log`: files of this machine, and nothing to install. */
export const log = implement({
  service: 'bus',
  kind: 'log',
  summary: 'A durable log in files of this machine; one process at a time has a topic open.',
  needs: {},
  options: {
    segmentBytes: option.int('Bytes of a topic in one file; whole files are removed once nobody needs them.', {
      default: 64 * 1024 * 1024,
      min: 4096,
      max: 1024 * 1024 * 1024,
    }),
    maxMessageBytes: option.int('Largest message, with its key.', {
      default: 64 * 1024 * 1024,
      min: 1024,
      max: 1024 * 1024 * 1024,
    }),
  },
  open: () => import('./open.ts'),
})
