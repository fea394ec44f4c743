import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/longest-first.ts'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Those need servers that npm does not carry: `npm run test:systems`.
    exclude: ['test/systems/**'],
    // Three processes for two processors: each waits for its servers and commands a part of the time.
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // Each of them starts processes of its own: more at once would only wait for the machine, and for that long.
    maxConcurrency: 3,
    // Many times what a test takes alone: other work on the machine is no failure, and what hangs is still found.
    testTimeout: 180_000,
    // A condition is waited for as long as the machine needs; 1 s by itself.
    expect: { poll: { timeout: 120_000 } },
    hookTimeout: 240_000,
  },
})
