import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, test } from 'vitest'
import { realEnv } from '../../core/env.ts'
import { busPromises } from './conformance.ts'
import type { Bus } from './contract.ts'
import { openBus, type BusKind } from './registry.ts'

const ending: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

const rows: readonly { readonly title: string; readonly kind: BusKind; readonly options: Record<string, unknown> }[] = [
  { title: 'log', kind: 'log', options: {} },
  { title: 'log with the smallest segments', kind: 'log', options: { segmentBytes: 4096 } },
]

for (const { title, kind, options } of rows) {
  describe(`bus ${title} keeps the contract`, () => {
    for (const promise of busPromises) {
      test(promise.name, async () => {
        const stateDir = await mkdtemp(path.join(os.tmpdir(), 'naru-bus-'))
        ending.push(() => rm(stateDir, { recursive: true, force: true }))
        const open = (): Promise<Bus> => openBus(kind, { options, stateDir, env: realEnv(), tell: () => {} })
        let bus = await open()
        ending.push(() => bus.close())
        const reopen = async (): Promise<Bus> => {
          await bus.close()
          return (bus = await open())
        }
        const beside = async (): Promise<Bus> => {
          const other = await open()
          ending.push(() => other.close())
          return other
        }
        await promise.check({ bus, reopen, beside })
      })
    }
  })
}
