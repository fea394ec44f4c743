import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/longest-first.ts'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Those need servers that npm does not carry: `npm run test:systems`.
    exclude: ['test/systems/**'],
    // Two processes: the suites start real servers, and more would only wait for the machine.
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    maxWorkers: 2,
    // Each of them starts processes of its own: more at once would only wait for the machine, and for that long.
    maxConcurrency: 3,
    // Many times what a test takes alone: other work on the machine is no failure, and what hangs is still found.
    testTimeout: 180_000,
    hookTimeout: 240_000,
  },
})
