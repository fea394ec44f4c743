import { defineConfig } from 'vitest/config'

/** The tests against real systems: `npm run test:systems`. */
export default defineConfig({
  test: {
    include: ['test/systems/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    // The first one of a kind installs its system.
    hookTimeout: 900_000,
  },
})
