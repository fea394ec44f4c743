import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { inboxConfig, makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectRefused, jsonOf } from '../support/project.ts'

const personal = inboxConfig()
  .replaceAll('customer: t.text()', 'customer: t.text().pii()')
  .replace("ods.export('order', order)", "ods.export('order', order, { mask: { customer: mask.redact('-') } })")

async function newInbox(config?: string): Promise<Inbox> {
  const inbox = await makeInbox(config)
  onTestFinished(() => inbox.remove())
  return inbox
}

test('the report of a run is one page and its data, where the command says; no personal value is in either', async () => {
  const inbox = await newInbox(personal)
  await inbox.put(
    'order1.csv',
    ordersCsv('1,CANARY one,10,', '2,CANARY two,-20,', '3,CANARY three,30,late', '4,CANARY four'),
  )
  await inbox.run()

  const told = jsonOf(await inbox.naru(['report', '--json'])) as { report: string; json: string }
  const page = await readFile(told.report, 'utf8')
  const data = await readFile(told.json, 'utf8')
  expect(path.relative(inbox.folder, told.report)).toBe(path.join('.naru', 'report', 'report.html'))
  expect(JSON.parse(data)).toMatchObject({
    project: 'inbox',
    run: { run: 1, state: 'done', rowsRead: 3 },
    tables: [
      { source: 'shop', table: 'order', rejects: [{ rows: { of: 1, shown: [{ file: 'order1.csv', line: 5 }] } }] },
    ],
    quarantine: [{ entity: 'order', rows: 1, rules: [{ rule: 'amount.range', rows: { shown: [{ key: '2' }] } }] }],
    exports: [{ name: 'order', rows: 2, masks: [{ column: 'customer', personal: true }] }],
  })
  expect(page).toContain('Rows that broke amount.range: 1 row')
  expect(page + data).not.toContain('CANARY')

  const elsewhere = await inbox.naru(['report', '--out', 'public'])
  expect(elsewhere.stdout).toBe(`Quality report: ${path.join('public', 'report.html')}\n`)
  expect(await readFile(path.join(inbox.folder, 'public', 'report.html'), 'utf8')).toBe(page)
})

test('before any run there is nothing to report', async () => {
  const inbox = await newInbox()
  expectRefused(await inbox.naru(['report']), { status: 1, code: 'DATABASE_MISSING', says: ['naru run'] })
})
