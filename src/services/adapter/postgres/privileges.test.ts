import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from 'vitest'
import { outbox } from '../../../config/outbox.ts'
import { isNaruError } from '../../../core/errors.ts'
import { t } from '../../../index.ts'
import { postgresCaptures } from '../../../testing/postgres/capture.ts'
import { openPostgres, startTestDatabase, type TestDatabase } from '../../../testing/postgres/database.ts'
import { logicalSettings, logSystem } from '../../../testing/postgres/log.ts'
import { flag } from '../../../testing/suite/flags.ts'
import { capturesOf, follow, items, makeTable, writes, type CaptureSystem } from '../conformance-capture-support.ts'
import { never } from '../conformance-support.ts'
import type { Adapter } from '../contract.ts'
import type { CaptureProblem, Captures } from '../contract-capture.ts'

let database: TestDatabase
let adapter: Adapter

beforeAll(async () => {
  database = await startTestDatabase(logicalSettings)
}, 120_000)
afterAll(() => database.stop())

const run = (statement: string): Promise<unknown> => database.client.query(statement)

/** An account that may log in, and nothing else. */
beforeEach(async () => {
  await run(`create role poor login password 'p'; revoke usage on schema public from public`)
  adapter = await openPostgres(database.urlWith({ user: 'poor', password: 'p' }), { slot: 'poor' })
})
afterEach(async () => {
  await adapter.close()
  await run('drop publication if exists poor; drop owned by poor cascade; drop role poor')
})

const grant = async (technique: Parameters<NonNullable<Adapter['privileges']>>[0]): Promise<void> => {
  for (const statement of adapter.privileges?.(technique, [{ ...items, status: flag }]) ?? []) await run(statement)
}

const streams: readonly (readonly ['log' | 'trigger' | 'event' | 'status', readonly RegExp[]])[] = [
  ['log', [/alter role "poor" with replication/, /grant usage on schema "public"/, /grant select on/]],
  ['trigger', [/grant create on database/, /grant usage on schema/]],
  ['event', [/grant create on database/, /grant usage on schema/, /grant select on/]],
  ['status', [/grant create on database/, /grant usage on schema/, /grant select on/]],
]

describe('an account of PostgreSQL that may nothing', () => {
  test.each(streams)(
    'is told what the technique %s lacks; what is printed for it is enough',
    async (technique, fixes) => {
      const system: CaptureSystem = technique === 'log' ? logSystem(database) : postgresCaptures(database, technique)
      await makeTable(system, items)
      const tables = [system.captured?.(items) ?? items]
      const captures = capturesOf(adapter, system)
      const lacking = (await captures.inspect(tables, never)).filter(it => it.isFatal)
      const said = lacking.map(({ text, fix }) => `${text} ${fix}`)
      for (const fix of fixes)
        assert.ok(
          said.some(it => fix.test(it)),
          `${String(fix)} is not in ${said.join('\n')}`,
        )
      await assert.rejects(captures.install(tables, never), error => isNaruError(error, 'CAPTURE_NOT_READY'))

      await grant(technique)
      assert.deepEqual(
        (await captures.inspect(tables, never)).filter(it => it.isFatal),
        [],
      )
      const from = await captures.install(tables, never)
      const open = await captures.open({ tables, from, spillDir: await system.spillDir() }, never)
      try {
        await writes(system).insert(items, ['7', 'seen', '1'])
        const { events } = await follow(captures, open, await captures.head(never))
        assert.deepEqual(
          events.map(({ op, row }) => [op, row[0]]),
          [['insert', '7']],
        )
        assert.notEqual((await open.lag(never)).bytes, null)
      } finally {
        await open.close()
      }
      await captures.lag?.(from, never)
      await captures.remove(never)
    },
  )

  test.each(['log', 'trigger'] as const)(
    'is told that row level security hides rows from the technique %s',
    async technique => {
      const system: CaptureSystem = technique === 'log' ? logSystem(database) : postgresCaptures(database, technique)
      await makeTable(system, items)
      const tables = [system.captured?.(items) ?? items]
      const captures = capturesOf(adapter, system)
      await grant(technique)
      await run(
        `alter table ${items.remote} enable row level security; alter table ${items.remote} force row level security`,
      )
      const fatal = async (): Promise<readonly CaptureProblem[]> =>
        (await captures.inspect(tables, never)).filter(it => it.isFatal)
      // A policy that lets the account read all is enough, until another one takes rows away.
      for (const [more, fix] of [
        ['', /^create policy/],
        [`create policy no_small on ${items.remote} as restrictive for select using (id > 5)`, /^alter role/],
      ] as const) {
        await run(more)
        const [problem] = await fatal()
        assert.match(problem?.text ?? '', /row level security of .* hides rows/)
        assert.match(problem?.fix ?? '', fix)
        await run(problem?.fix ?? '')
        assert.deepEqual(await fatal(), [])
      }
    },
  )

  test.each(['full', 'timestamp', 'version', 'combined'] as const)(
    'is told what reading by the technique %s lacks; what is printed for it is enough',
    async technique => {
      await makeTable(logSystem(database), items)
      const before = await adapter.tables?.openSnapshot(never)
      await assert.rejects(
        async () => before?.look(items.remote),
        error => isNaruError(error) && ['SOURCE_DENIED', 'SOURCE_TABLE_GONE'].includes(error.code),
      )
      await before?.close()
      await grant(technique)
      // Another account with an open transaction: its start is hidden from whoever may not see it.
      const other = await database.connect()
      await other.query('begin; select 1')
      const snapshot = await adapter.tables?.openSnapshot(never)
      assert.deepEqual((await snapshot?.look(items.remote))?.denied, [])
      if (technique !== 'full') assert.notEqual(snapshot?.horizonMicros, null)
      await snapshot?.close()
      await other.query('rollback')
    },
  )
})

test('an application writes into the outbox with the rights that the guide names, and reads nothing there', async () => {
  const captures = adapter.captures?.event as Captures
  for (const statement of captures.script([]).install) await run(statement)
  const guide = await readFile(new URL('../../../../docs/guide/outbox.md', import.meta.url), 'utf8')
  const [, grants = ''] = /```sql\n(grant usage on schema naru_capture to app;[^`]*)```/.exec(guide) ?? []
  await run(`create role app login password 'p'; ${grants}`)
  const app = await database.connect(database.urlWith({ user: 'app', password: 'p' }))
  try {
    const event = outbox({ goods: { key: ['id'], columns: { id: t.int() } } }, 'goods', 'postgres')
    for (const id of [1, 2, 2]) await app.query(event.insert({ id }, { idempotencyKey: `key ${id}` }))
    const { rows } = await database.client.query('select key from naru_capture.outbox order by id')
    assert.deepEqual(
      rows.map(it => it.key),
      [{ id: 1 }, { id: 2 }],
    )
    await assert.rejects(app.query('select row from naru_capture.outbox'), /permission denied/)
  } finally {
    await app.end()
    await run('drop owned by app; drop role app; drop schema naru_capture cascade')
  }
})
