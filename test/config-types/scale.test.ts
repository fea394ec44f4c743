import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { compile, root } from './compile.ts'
import { generateProject } from './generate.ts'

const instantiationsMax = 300_000
let folder: string

beforeAll(() => {
  // Inside the package, so that `naru` is the package itself.
  folder = mkdtempSync(path.join(root, 'test/config-types/scale-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

it('a project of 200 tables type-checks under a ceiling of 300,000 instantiations', () => {
  const { schema, config } = generateProject({ tables: 200, columns: 30, facts: 20, summaries: 100, roles: 8 })
  writeFileSync(path.join(folder, 'schema.ts'), schema)
  writeFileSync(path.join(folder, 'naru.config.ts'), config)
  writeFileSync(
    path.join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../tsconfig.json', files: ['naru.config.ts'] }),
  )

  const output = compile(folder, '--extendedDiagnostics')

  expect(output).not.toContain('error TS')
  const instantiations = Number(/Instantiations:\s+(\d+)/.exec(output)?.[1])
  expect(instantiations).toBeGreaterThan(0)
  expect(instantiations).toBeLessThanOrEqual(instantiationsMax)
})
