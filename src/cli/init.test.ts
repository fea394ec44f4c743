import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isNaruError } from '../core/errors.ts'
import type { Call } from './command.ts'
import { run } from './init.ts'

let folder: string
let printed: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-init-'))
  printed = ''
})
afterEach(() => rm(folder, { recursive: true }))

function call(target: string): Call {
  const print = (text: string): void => void (printed += text)
  const nowhere = { step: null, note: () => {}, redraw: () => {} }
  const output = { json: false, quiet: true, live: false, ...nowhere }
  return { args: [target], flag: () => undefined, has: () => false, output: { ...output, print } }
}

async function problemOf(target: string): Promise<string> {
  const error = await run(call(target)).catch((thrown: unknown) => thrown)
  if (!isNaruError(error)) throw new Error('expected an error of the table', { cause: error })
  expect(error.exit).toBe(2)
  return error.code
}

it('writes a project into a new folder and says what to do next', async () => {
  const target = path.join(folder, 'deep/my-project')
  await run(call(target))
  expect((await readdir(target)).sort()).toEqual([
    '.gitignore',
    'data',
    'naru.config.ts',
    'package.json',
    'test',
    'tsconfig.json',
  ])
  expect(printed).toContain(`cd ${target}\n  npm install\n  npx naru run\n`)
})

it('an empty folder will do', async () => {
  await run(call(folder))
  expect(await readdir(folder)).toContain('naru.config.ts')
})

it('the configuration of a first project has fewer than 60 lines', async () => {
  await run(call(folder))
  expect((await readFile(path.join(folder, 'naru.config.ts'), 'utf8')).split('\n').length).toBeLessThan(60)
})

it('a folder with anything in it is refused and left as it is', async () => {
  await writeFile(path.join(folder, 'mine.txt'), 'mine')
  expect(await problemOf(folder)).toBe('FOLDER_NOT_EMPTY')
  expect(await readdir(folder)).toEqual(['mine.txt'])
})

it('a file is no folder', async () => {
  await writeFile(path.join(folder, 'mine.txt'), 'mine')
  expect(await problemOf(path.join(folder, 'mine.txt'))).toBe('USAGE')
  expect(await problemOf(path.join(folder, 'mine.txt/below'))).toBe('USAGE')
})
