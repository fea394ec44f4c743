import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
// As installed: an adapter outside the package has no other way to it.
import { tablesPromises } from 'naru/testing'
import { makeSystem } from '../../examples/own-adapter/system.ts'
import { compile, root } from '../config-types/compile.ts'
import { makeProject } from '../support/project.ts'

const example = path.join(root, 'examples/own-adapter')
const folder = mkdtempSync(path.join(os.tmpdir(), 'naru-own-adapter-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('an adapter outside the package', () => {
  for (const promise of tablesPromises) {
    test(promise.name, async context => {
      const system = await makeSystem()
      if (promise.when?.(system.can) === false) context.skip('the adapter does not claim it')
      await promise.check(system)
    })
  }

  test('is under 150 lines, and compiles with its config against the published types', () => {
    const lines = ['tsv/index.ts', 'tsv/open.ts'].flatMap(file =>
      readFileSync(path.join(example, file), 'utf8').split('\n'),
    )
    expect(lines.length).toBeLessThan(160) // with the line behind the last of each
    expect(lines.filter(line => line.trim() !== '').length).toBeLessThan(150)
    expect(compile('examples/own-adapter')).toBe('')
  })

  test('is pulled, checked and run by a config that names it', async () => {
    cpSync(example, folder, { recursive: true })
    const project = await makeProject({
      config: readFileSync(path.join(example, 'naru.config.ts'), 'utf8').replace('lab.duckdb', 'data.duckdb'),
      folder,
    })
    const pulled = await project.naru(['pull', 'lab'])
    expect(pulled.status, pulled.stderr).toBe(0)
    expect(readFileSync(path.join(folder, 'schema/lab.ts'), 'utf8')).toContain('cost: t.decimal(18, 2)')
    expect((await project.naru(['check'])).status).toBe(0)
    const { staged, rejected, ods } = await project.run()
    expect({ staged, rejected, ods }).toEqual({
      staged: { lab_sample: 2 },
      rejected: { lab_sample: 1 }, // 30 February
      ods: { sample: 2 },
    })
  })

  test('whose option is wrong is a mistake of the config', async () => {
    const config = readFileSync(path.join(example, 'naru.config.ts'), 'utf8').replace("folder: 'data'", "foldr: 'data'")
    const project = await makeProject({ config, folder })
    const checked = await project.naru(['check'])
    expect(checked.stderr).toContain('foldr')
    expect(checked.status).not.toBe(0)
  })
})
