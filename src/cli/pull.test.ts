import { expect, it } from 'vitest'
import { isNaruError } from '../core/errors.ts'
import type { Call } from './command.ts'
import { run } from './pull.ts'

function call(args: readonly string[], flags: Readonly<Record<string, string>>): Call {
  const output = { json: true, quiet: true, live: false, step: null, color: false, width: 80 }
  const nowhere = { print: () => {}, note: () => {}, redraw: () => {} }
  return { args, flag: name => flags[name], has: () => false, output: { ...output, ...nowhere } }
}

const secretAddress = 'postgres://me:hunter2@db/ops'

it.each([
  [
    'a system without a catalog',
    ['ops'],
    { from: 'http' },
    '--from takes postgres, mysql, odbc, cassandra, sqlite, files',
  ],
  ['a place without its system', ['ops'], { url: 'OPS_URL' }, '--url and --path go with --from'],
  ['a system without its place', ['ops'], { from: 'postgres' }, '--from postgres needs --url'],
  ['the place of another system', ['ops'], { from: 'sqlite', url: 'OPS_URL' }, '--from sqlite needs --path'],
  ['files without their place', ['drop'], { from: 'files' }, '--from files needs --path or --url'],
  [
    'files in two places',
    ['drop'],
    { from: 'files', path: 'in', url: 'DROP_URL' },
    '--from files needs --path or --url',
  ],
  ['an address on the command line', ['ops'], { from: 'postgres', url: secretAddress }, 'the name of an environment'],
  ['no name for the source', [], { from: 'postgres', url: 'OPS_URL' }, '--from reads one source'],
  ['two sources', ['a', 'b'], { from: 'postgres', url: 'OPS_URL' }, '--from reads one source'],
  ['a name that leaves the folder', ['../ops'], { from: 'postgres', url: 'OPS_URL' }, '--from reads one source'],
])('%s is wrong use', async (_, args, flags, problem) => {
  const error = await run(call(args, flags as Readonly<Record<string, string>>)).catch((thrown: unknown) => thrown)
  if (!isNaruError(error)) throw new Error('expected an error of the table', { cause: error })
  expect([error.code, error.exit]).toEqual(['USAGE', 2])
  expect(error.message).toContain(problem)
  expect(error.message).not.toContain('hunter2')
})
