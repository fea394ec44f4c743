import { expect, onTestFinished, test } from 'vitest'
import { inboxConfig, makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectRefused, jsonOf } from '../support/project.ts'

async function newInbox(config?: string): Promise<Inbox> {
  const inbox = await makeInbox(config)
  onTestFinished(() => inbox.remove())
  return inbox
}

test('a rule that rejects more than its limit: exit 3, nothing of the run is visible, the evidence is kept, and a corrected source goes through', async () => {
  const inbox = await newInbox(inboxConfig({ amountRule: 'rule.range(0, 1000).limit(1)' }))
  await inbox.put('order1.csv', ordersCsv('1,Ann,10,', '2,Bob,20,'))
  await inbox.run()
  const before = await inbox.visible()

  await inbox.put('order2.csv', ordersCsv('1,Ann,99,', '3,Cid,-30,', '4,Dan,-40,', '5,Eve,50,'))
  expectRefused(await inbox.naru(['run']), {
    status: 3,
    code: 'REJECT_LIMIT',
    says: ['2 of 4 rows', '"order"', '"shop"', 'amount.range', '1 are allowed', 'naru report'],
  })
  expect(await inbox.visible()).toEqual(before)
  expect(await inbox.rows('select count(*) as n from naru.quarantine')).toEqual([{ n: 0n }])
  const evidence = `
    select entity, contributor, rows_checked, rows_failed, limit_rows, samples from naru.rule_result
    where rule = 'amount.range' and phase = 'after' and rows_failed > 0`
  expect(await inbox.rows(evidence)).toEqual([
    { entity: 'order', contributor: 'shop', rows_checked: 4n, rows_failed: 2n, limit_rows: 1n, samples: '["3","4"]' },
  ])
  const status = jsonOf(await inbox.naru(['status', '--json']))
  expect(status).toMatchObject({ runs: [{ state: 'failed', error: expect.stringContaining('REJECT_LIMIT') }, {}] })

  await inbox.put('order2.csv', ordersCsv('1,Ann,99,', '3,Cid,30,', '4,Dan,-40,', '5,Eve,50,'))
  expect(await inbox.run()).toMatchObject({ rowsStaged: 4, ods: { order: 4 }, rejected: { order: 1 } })
})

test('a row in quarantine is listed, shown, fixed and tried again; the version before it stays and says so; a corrected source resolves it', async () => {
  const inbox = await newInbox()
  const state = 'select id, amount, _held as held from ods."order" order by id'
  const quarantined = async (): Promise<unknown> =>
    (jsonOf(await inbox.naru(['quarantine', 'list', '--json'])) as { rows: unknown }).rows

  await inbox.put('order1.csv', ordersCsv('1,Ann,10,', '2,Bob,20,', '3,Cid,30,'))
  await inbox.run()
  // One new version breaks a rule, one does not fit its type, one is a new row that breaks a rule.
  await inbox.put('order2.csv', ordersCsv('1,Ann,-1,', '2,Bob,twenty,', '4,Dan,4000,'))
  expect(await inbox.run()).toMatchObject({ rowsStaged: 3, rejected: { order: 3 } })
  expect(await inbox.rows(state)).toEqual([
    { id: 1, amount: 10, held: true },
    { id: 2, amount: 20, held: true },
    { id: 3, amount: 30, held: false },
  ])
  expect(await quarantined()).toMatchObject([
    { entity: 'order', contributor: 'shop', key: '1', rules: ['amount.range'], held: true, state: 'open' },
    { key: '2', rules: ['amount.cast'], held: true, lost: { 'amount.cast': 'twenty' } },
    { key: '4', rules: ['amount.range'], held: false },
  ])
  const list = await inbox.naru(['quarantine', 'list'])
  expect(list.stdout).toMatch(/order\s+shop\s+1\s+amount\.range\s+open\s+yes/)
  const shown = await inbox.naru(['quarantine', 'show', 'order', '4'])
  expect(JSON.parse(shown.stdout)).toMatchObject([{ key: '4', row: { id: '4', customer: 'Dan', amount: '4000' } }])

  expectRefused(await inbox.naru(['quarantine', 'show', 'order', '77']), {
    status: 2,
    code: 'QUARANTINE_NONE',
    says: ['77', '"order"', 'naru quarantine list'],
  })
  expectRefused(await inbox.naru(['quarantine', 'fix', 'order', '4', 'amount', 'many']), {
    status: 2,
    code: 'QUARANTINE_FIX',
    says: ['amount', '"order"', 'does not fit'],
  })
  expect((await inbox.naru(['quarantine', 'fix', 'order', '4', 'amount', '400'])).status).toBe(0)
  expect((await inbox.naru(['quarantine', 'recycle', 'order', '2'])).stdout).toContain('1 rows are tried again')

  // The source corrects the first; the fix lets the last one in; trying the second again changes nothing.
  await inbox.put('order3.csv', ordersCsv('1,Ann,11,'))
  expect(await inbox.run()).toMatchObject({ rowsStaged: 1, rejected: { order: 1 } })
  expect(await inbox.rows(state)).toEqual([
    { id: 1, amount: 11, held: false },
    { id: 2, amount: 20, held: true },
    { id: 3, amount: 30, held: false },
    { id: 4, amount: 400, held: false },
  ])
  expect(await quarantined()).toMatchObject([{ key: '2', rules: ['amount.cast'], state: 'open' }])
  expect(await inbox.rows("select key, resolution from naru.quarantine where state = 'resolved' order by key")).toEqual(
    [
      { key: '1', resolution: 'passed' },
      { key: '4', resolution: 'passed' },
    ],
  )
  expect(await inbox.rows('select key, "column", repair, "before", "after" from naru.correction')).toEqual([
    { key: '4', column: 'amount', repair: 'fix', before: '4000', after: '400' },
  ])
})
