import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { realEnv } from '../core/env.ts'
import { isNaruError } from '../core/errors.ts'
import { hashOf } from './hash.ts'
import { loadConfig } from './load.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-config-'))
})
afterEach(() => rm(folder, { recursive: true }))

const schema = `
import { t } from 'naru'
export const shop = { product: { key: ['sku'], columns: { sku: t.text(), price: t.decimal(9, 2), at: t.timestamp() } } } as const
`
const head = `
import { defineConfig, duckdb, dw, env, ods, pg, rule, t } from 'naru'
import { shop } from './schema/shop.ts'
const web = pg('web', { url: env('URL'), schema: shop })
const product = ods.entity('product', { key: 'sku', columns: { sku: t.text(), price: t.decimal(9, 2) } })
`
const tail = `
export default defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [linked] })
`
const linked = `const linked = product.from(web.product, r => ({ sku: r.sku.trim(), price: r.price }))`

async function load(text: string) {
  await mkdir(path.join(folder, 'schema'), { recursive: true })
  await writeFile(path.join(folder, 'schema/shop.ts'), schema)
  const file = path.join(folder, 'naru.config.ts')
  await writeFile(file, text)
  return loadConfig(realEnv(), file)
}

async function problemOf(text: string): Promise<string> {
  const error = await load(text).catch((thrown: unknown) => thrown)
  if (!isNaruError(error, 'CONFIG_INVALID')) throw new Error('expected CONFIG_INVALID', { cause: error })
  return error.message.replace(`${folder}/`, '')
}

describe('loading a configuration', () => {
  it('gives the project as plain data, equal for every evaluation', async () => {
    const first = await load(head + linked + tail)
    const second = await load(head + linked + tail)
    expect(first.entities.map(entity => entity.name)).toEqual(['product'])
    expect(second).not.toBe(first)
    expect(hashOf(second)).toBe(hashOf(first))
    expect(JSON.parse(JSON.stringify(first))).toEqual(first)
  })

  it('a changed file or schema module is read again', async () => {
    const first = await load(head + linked + tail)
    const second = await load(head + linked.replace('.trim()', '.upper()') + tail)
    expect(hashOf(second)).not.toBe(hashOf(first))
  })

  it('a missing file is CONFIG_NOT_FOUND', async () => {
    const error = await loadConfig(realEnv(), path.join(folder, 'none.ts')).catch((thrown: unknown) => thrown)
    expect(isNaruError(error, 'CONFIG_NOT_FOUND')).toBe(true)
  })

  it.each([
    ['an exception', `${head}\n${linked}\nthrow new Error('no luck')`, 'naru.config.ts:8: no luck'],
    [
      'a mistake that a builder sees',
      `${head}\n${linked.replace('r.sku.trim()', 'r.sk')}${tail}`,
      'naru.config.ts:7: table web.product has no column "sk"',
    ],
    [
      'an unknown target column',
      `${head}\n${linked.replace('price:', 'prize:')}${tail}`,
      'naru.config.ts:7: entity product has no column "prize"',
    ],
    [
      'an unknown option',
      `${head}\n${linked}${tail.replace('path:', 'file:')}`,
      'naru.config.ts:8: engine duckdb: the option "file" is not one of',
    ],
    [
      'an unknown word of defineConfig',
      `${head}\n${linked}${tail.replace('models:', 'model:')}`,
      'naru.config.ts:8: defineConfig: there is no option "model"',
    ],
    [
      'a name that naru does not have',
      `${head}\n${linked.replace('r.price', 'nope')}${tail}`,
      'naru.config.ts:7: nope is not defined',
    ],
    ['broken syntax', `${head}\nconst = 3`, 'naru.config.ts:7: '],
    ['a missing module', `import { x } from './gone.ts'\nexport default x`, "Cannot find module './gone.ts'"],
    ['no default export', head, 'naru.config.ts: has no default export'],
    [
      'another default export',
      'export default { engine: 1 }',
      'naru.config.ts: the default export is not made by defineConfig()',
    ],
    [
      'a column in a template string',
      `${head}\n${linked.replace('r.sku.trim()', '`${r.sku}`')}${tail}`,
      'naru.config.ts:7: a column was used as a plain value',
    ],
  ])('%s is told with its file and line', async (_, text, problem) => {
    expect(await problemOf(text)).toContain(problem)
  })
})
