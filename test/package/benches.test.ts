import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

/** Each at its smallest: that they run and print what they measured. What they measured is not looked at. */
const benches = {
  startup: [],
  extract: ['--flights', '2000', '--rounds', '1', '--no-dlt'],
  'extract, rows like lineitem': ['--lineitem', '0.001', '--rounds', '1', '--no-dlt'],
  crossing: ['--flights', '2000', '--rounds', '1', '--no-dlt'],
  csv: ['--mb', '1', '--rounds', '1'],
  bus: ['--seconds', '0.05', '--rounds', '1'],
  log: ['--changes', '1000', '--rows', '1000', '--rounds', '1'],
  live: ['--seconds', '0.5', '--rows', '500', '--rate', '100'],
  trigger: ['--transactions', '2', '--rounds', '1'],
}

describe('a benchmark is a program that runs', () => {
  for (const [name, options] of Object.entries(benches)) {
    test(name, async () => {
      const bench = name.split(',')[0] as string
      const args = [join(root, 'bench/run.mjs'), bench, ...options]
      const { stdout } = await run(process.execPath, args, { cwd: root })
      expect(stdout.trim().split('\n').length).toBeGreaterThan(1)
    })
  }
})
