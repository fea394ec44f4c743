import { mkdtempSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { evaluate } from '../../src/config/load.ts'
import { realEnv } from '../../src/core/env.ts'
import { compile, diagnosticsOf, type Diagnostic } from '../config-types/compile.ts'
import { blocksOf, pages, root } from './pages.ts'

const taught = pages.filter(page => /^README(\.ko)?\.md$|^docs\/guide\//.test(page))
const examples = taught.flatMap(page =>
  blocksOf(page)
    .filter(block => block.language === 'ts' && /^import [^]*? from 'naru'/.test(block.code))
    .map(block => ({ ...block, page, file: `${page.replaceAll(/[/.]/g, '-')}-${block.line}.ts` })),
)

/** A project of its own, in which `naru` is this very package, as installed. */
const folder = mkdtempSync(path.join(tmpdir(), 'naru-docs-'))

beforeAll(() => {
  mkdirSync(path.join(folder, 'node_modules'))
  symlinkSync(root, path.join(folder, 'node_modules/naru'), 'dir')
  for (const { file, code } of examples) writeFileSync(path.join(folder, file), code)
  const { compilerOptions } = JSON.parse(readFileSync(path.join(root, 'examples/first-project/tsconfig.json'), 'utf8'))
  const files = examples.map(example => example.file)
  writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('the examples of the pages', () => {
  let found: readonly Diagnostic[]
  beforeAll(() => {
    found = diagnosticsOf(compile(folder))
  })

  test('there are some, and the compiler saw them', () => {
    expect(examples.length).toBeGreaterThan(10)
    expect(found.filter(error => !examples.some(({ file }) => error.file.endsWith(file)))).toEqual([])
  })

  test.each(examples)('$page line $line compiles and can be evaluated', async ({ file, line }) => {
    const errors = found.filter(error => error.file.endsWith(file))
    expect(errors.map(error => `line ${error.line + line - 1}: ${error.text}`)).toEqual([])
    await evaluate(realEnv(), path.join(folder, file))
  })

  // <!-- examples/first-project/naru.config.ts --> above a block: it shows that file.
  test('a block that shows a file of the examples shows it as it is', () => {
    const shown = taught.flatMap(page => blocksOf(page).map(block => ({ ...block, page })))
    const copies = shown.flatMap(block => {
      const source = /^<!-- (examples\/\S+) -->$/.exec(block.above)?.[1]
      return source === undefined ? [] : [{ ...block, source }]
    })
    expect(copies.map(copy => copy.page)).toEqual(expect.arrayContaining(['README.md', 'README.ko.md']))
    for (const { source, code } of copies) expect(code).toBe(readFileSync(path.join(root, source), 'utf8'))
  })
})
