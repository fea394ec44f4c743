import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realEnv } from '../core/env.ts'
import type { EngineDef } from '../config/model.ts'
import { databasePlace, openEngine, openProject, type OpenProject } from './project.ts'

let folder: string
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'naru-project-'))
})
afterAll(() => fs.rm(folder, { recursive: true }))

/** Opens a project whose configuration names this engine. */
async function opened(engine: EngineDef): Promise<OpenProject> {
  const text = `import { defineConfig } from 'naru'
export default defineConfig({ engine: ${JSON.stringify(engine)}, models: [] })\n`
  await fs.writeFile(path.join(folder, 'naru.config.ts'), text)
  return openProject(realEnv(), { config: undefined, cwd: folder })
}

describe('the engine of a project', () => {
  test('a kind that is not there is refused when the project is opened', async () => {
    await expect(opened({ kind: 'spark', options: {} })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('engine "spark": the option "kind" is not one of duckdb'),
    })
  })

  test('a kind that every object has is no engine', async () => {
    await expect(opened({ kind: 'constructor', options: {} })).rejects.toMatchObject({ code: 'OPTION_INVALID' })
  })

  test.each([':memory:', ':memory:x', ''])(
    'a database that no other process would find is refused: "%s"',
    async file => {
      await expect(opened({ kind: 'duckdb', options: { path: file } })).rejects.toMatchObject({
        code: 'OPTION_INVALID',
        message: expect.stringContaining('must name a file'),
      })
    },
  )

  test('its file is looked up from the folder of the config; an absolute path stays', async () => {
    const relative = await opened({ kind: 'duckdb', options: { path: 'data/x.duckdb' } })
    expect(databasePlace(relative)).toBe(path.join(folder, 'data/x.duckdb'))
    const elsewhere = path.join(folder, 'elsewhere', 'y.duckdb')
    const absolute = await opened({ kind: 'duckdb', options: { path: elsewhere } })
    expect(databasePlace(absolute)).toBe(elsewhere)
    await (await openEngine(absolute, 'write')).close()
    await fs.access(elsewhere)
  })
})
