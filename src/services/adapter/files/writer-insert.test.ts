import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { isNaruError } from '../../../core/errors.ts'
import { batchOf } from '../../../testing/suite/batches.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import { never } from '../conformance-support.ts'
import type { TableWriter } from '../contract-writes.ts'
import { openAdapter } from './open.ts'

let folder: string
const ending: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-writer-'))
  await mkdir(path.join(folder, 'out'))
})
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
  await rm(folder, { recursive: true, force: true })
})

const columns = [{ name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false }] as const
const out = (): string => path.join(folder, 'out', 'a.csv')

/** A writer that has staged some numbers. */
async function inserting(id: string, numbers: readonly bigint[]): Promise<TableWriter> {
  const adapter = await openAdapter({
    source: 'lake',
    options: { folder: path.join(folder, 'out') },
    secret: () => assert.fail('there is no secret'),
    configDir: folder,
    stateDir: path.join(folder, 'state'),
    env: realEnv(),
  })
  const target = { id, remote: 'a.csv', columns, key: [], mode: 'insert', create: true } as const
  const writer = await adapter.writes?.openWriter(target, never)
  assert.ok(writer !== undefined)
  ending.push(async () => {
    await writer.close()
    await adapter.close()
  })
  if (numbers.length > 0) {
    await writer.stage('1', (async function* () { yield batchOf(columns, [numbers]) })(), never) // prettier-ignore
  }
  return writer
}

test('of two inserts that publish at the same moment one makes the file, and the other changes nothing', async () => {
  const writers = [await inserting('one', [1n]), await inserting('two', [2n])]
  const ended = await Promise.allSettled(writers.map(it => it.publish({ missed: 'refuse' }, never)))
  const won = ended.findIndex(it => it.status === 'fulfilled')
  const lost = ended[1 - won]
  assert.ok(lost?.status === 'rejected' && isNaruError(lost.reason, 'WRITE_TARGET'), String(won))
  assert.equal(await readFile(out(), 'utf8'), `id\n${won + 1}\n`)
})

test('a file that was put by a call which could not say so any more is known as ours, by its content', async () => {
  const first = await inserting('one', [1n])
  await first.publish({ missed: 'refuse' }, never)
  const noted = path.join(folder, 'state', 'transfer', 'one', 'stage.json')
  const asIfCrashed = async (): Promise<void> => {
    const stage = JSON.parse(await readFile(noted, 'utf8')) as object
    await writeFile(noted, JSON.stringify({ ...stage, published: false }))
  }
  await asIfCrashed()
  assert.equal((await inserting('one', [])).published?.inserted, 1n)

  await asIfCrashed()
  await writeFile(out(), 'id\n9\n')
  await rejectsWith('WRITE_TARGET', inserting('one', []), 'it is there')
  assert.equal(await readFile(out(), 'utf8'), 'id\n9\n')
})
