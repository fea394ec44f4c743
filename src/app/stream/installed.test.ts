import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import type { Captures } from '../../services/adapter/contract-capture.ts'
import { forgetInstalled, readInstalled, rememberStream, type Remembered } from './installed.ts'

let stateDir: string
beforeEach(async () => {
  stateDir = await mkdtemp(path.join(os.tmpdir(), 'naru-installed-'))
})
afterEach(() => rm(stateDir, { recursive: true, force: true }))

/** A stream of these tables at that place, as its session remembers it. */
async function remember(place: string, ...names: readonly string[]): Promise<void> {
  const script = { install: [], remove: names.map(name => `drop trigger ${name}`) }
  const captures = { place, leftovers: () => Promise.resolve({ kind: 'gone' }), script: () => script }
  const given = { def: { source: { name: 'shop' }, technique: 'trigger' }, adapter: { kind: 'postgres' } }
  const tables = names.map(name => ({ name, remote: name }))
  const all = { ...given, captures: captures as unknown as Captures, tables }
  await rememberStream({ env: realEnv(), stateDir }, all as unknown as Parameters<typeof rememberStream>[1], 'p1')
}

const known = (): Promise<readonly Remembered[]> => readInstalled({ env: realEnv(), stateDir })

test('places of which a file name has no letter are remembered apart', async () => {
  await remember('host/прод', 'item')
  await remember('host/тест', 'place')
  const found = (await known()).map(it => [it.place, it.tables.map(({ name }) => name)])
  expect(found.toSorted()).toEqual([
    ['host/прод', ['item']],
    ['host/тест', ['place']],
  ])
})

test('what a stream makes while another of its tables is forgotten stays remembered', async () => {
  await remember('host/shop', 'item', 'place')
  const [before] = await known()
  await Promise.all([
    remember('host/shop', 'item', 'order'),
    forgetInstalled({ env: realEnv(), stateDir }, before as Remembered, ['place']),
  ])
  expect((await known())[0]?.tables.map(it => it.name).toSorted()).toEqual(['item', 'order'])
})
