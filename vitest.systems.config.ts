import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/longest-first.ts'

/** The tests against real systems: `npm run test:systems`. */
export default defineConfig({
  test: {
    include: ['test/systems/**/*.test.ts'],
    // Three processes for two processors: each waits for its servers a part of the time.
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    testTimeout: 180_000,
    // A condition is waited for as long as the machine needs; 1 s by itself.
    expect: { poll: { timeout: 120_000 } },
    // The first one of a kind installs its system.
    hookTimeout: 900_000,
  },
})
