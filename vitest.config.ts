import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/longest-first.ts'

/** Short files, of code that changes nothing in its process and that no test measures the memory of. */
const shared = [
  'src/{app,capture,cli,config,core,etl,plan,report,run,systems,warehouse}/**/*.test.ts',
  'src/services/bus/**/*.test.ts',
]

export default defineConfig({
  test: {
    // Those in test/systems need servers that npm does not carry: `npm run test:systems`.
    projects: [
      // Most of a short file is the load of its modules: a process goes on with the next file, and has them.
      { extends: true, test: { name: 'shared', include: shared, isolate: false } },
      {
        extends: true,
        test: { name: 'own', include: ['{src,test}/**/*.test.ts'], exclude: [...shared, 'test/systems/**'] },
      },
    ],
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
