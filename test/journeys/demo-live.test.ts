import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startNaru, type Going } from '../support/command.ts'

let folder: string
let demo: Going | undefined

afterEach(async () => {
  demo?.child.kill('SIGINT')
  await demo?.ended
  await rm(folder, { recursive: true, force: true })
})

const facts = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Record<string, unknown>)

test('the live demo shows the mart following its sources, and at Ctrl-C ends with equal totals and nothing left behind', async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'naru-demo-'))
  demo = startNaru(folder, ['demo', '--live', '--flights', '3000', '--seconds', '3600', '--json'], {
    limitMs: 170_000,
  })
  await demo.says('"kind":"ready"')
  await demo.says('"airport":1')
  demo.child.kill('SIGINT')
  const { status, stdout } = await demo.ended
  const told = facts(stdout)
  const last = told.at(-1)
  expect(last, stdout).toMatchObject({ ok: true, agrees: true, missing: 0 })
  expect(status).toBe(0)
  expect(last?.['copy']).toEqual(last?.['source'])
  expect(last?.['changes']).toMatchObject({ airport: 1 })
  expect(last?.['odsMs']).not.toBeNull()
  expect(last?.['martMs']).not.toBeNull()
  expect(last?.['airportMs']).not.toBeNull()
  expect(told.filter(line => line['kind'] === 'second').length).toBeGreaterThanOrEqual(1)
  expect(existsSync(path.join(folder, 'naru-demo', 'sources', 'ops', 'server.json'))).toBe(false)
}, 180_000)
