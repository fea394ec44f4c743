import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Those need servers that npm does not carry: `npm run test:systems`.
    exclude: ['test/systems/**'],
    // Two processes: the suites start real servers, and more would only wait for the machine.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
