import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { inboxConfig, makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectRefused, type Refusal } from '../support/project.ts'

let inbox: Inbox
let before: Readonly<Record<string, string>>

beforeAll(async () => {
  inbox = await makeInbox()
  await inbox.put('order1.csv', ordersCsv('1,Ann,10,', '2,Bob,20,'))
  await inbox.run()
  before = await inbox.visible()
  // Something to do is there: a refusal that came too late would bring it across.
  await inbox.put('order2.csv', ordersCsv('3,Cid,30,'))
})
afterAll(() => inbox.remove())

// Whatever was wrong: what people had before is there as it was.
afterEach(async () => expect(await inbox.visible()).toEqual(before))

const secret = 'postgres://naru:Sesame-4711@127.0.0.1:1/shop'

async function expectConfigRefused(config: string, refusal: Refusal): Promise<void> {
  await inbox.configure(config)
  const ended = await inbox.naru(['run'], { OPS_URL: secret })
  expectRefused(ended, refusal)
  expect(ended.stdout + ended.stderr).not.toContain('Sesame-4711')
}

/** Number of the line that holds `text`, from 1 on. */
function lineOf(config: string, text: string): number {
  return config.split('\n').findIndex(line => line.includes(text)) + 1
}

describe('a config with a typo', () => {
  test('an option that does not exist is named with its place and the options that do', async () => {
    const config = inboxConfig({ table: "encodng: 'cp949'," })
    const place = `naru.config.ts:${lineOf(config, 'const shop')}`
    await expectConfigRefused(config, {
      status: 2,
      code: 'CONFIG_INVALID',
      says: [place, 'table shop.order', 'encodng', 'encoding'],
    })
  })

  test('an option of an adapter that does not exist is named with its place and the options that do', async () => {
    const config = inboxConfig({
      more: "const ops = pg('ops', { url: env('OPS_URL'), chunkRow: 5, schema: {} })",
    })
    const place = `naru.config.ts:${lineOf(config, 'chunkRow')}`
    await expectConfigRefused(config, {
      status: 2,
      code: 'CONFIG_INVALID',
      says: [place, 'source "ops"', '"chunkRow"', 'chunkRows'],
    })
  })

  test('a column that does not exist in a row function is named with file and line', async () => {
    const config = inboxConfig({
      more: `const late = ods
  .entity('late', { key: 'id', columns: { id: t.int() } })
  .from(shop.order, r => ({
    id: r.ident,
  }))`,
    })
    await expectConfigRefused(config, {
      status: 2,
      code: 'CONFIG_INVALID',
      says: [
        `naru.config.ts:${lineOf(config, 'r.ident')}`,
        'table shop.order',
        '"ident"',
        'id, customer, amount, note',
      ],
    })
  })

  test('a text that is no TypeScript is named with file and line', async () => {
    const config = inboxConfig({ more: 'const oops = {{' })
    await expectConfigRefused(config, { status: 2, code: 'CONFIG_INVALID', says: ['naru.config.ts:'] })
  })
})

describe('a missing environment variable', () => {
  test('of a source is named with the option that needs it', async () => {
    await inbox.configure(inboxConfig().replace("folder: 'inbox'", "url: env('INBOX_URL')"))
    expectRefused(await inbox.naru(['run'], { OTHER_URL: secret }), {
      status: 2,
      code: 'ENV_MISSING',
      says: ['INBOX_URL', 'source "shop"', '"url"', 'export INBOX_URL='],
    })
  })

  test('of a mask is named before a row is read', async () => {
    const config = inboxConfig().replace(
      "ods.export('order', order)",
      "ods.export('order', order, { mask: { customer: mask.hash(env('MASK_KEY')) } })",
    )
    await inbox.configure(config)
    const ended = await inbox.naru(['run'])
    expectRefused(ended, { status: 2, code: 'ENV_MISSING', says: ['MASK_KEY', 'export "order"', 'customer'] })
    expect(ended.stderr).not.toContain('interface')
  })
})

test('a selector that names nothing is wrong use, and says what there is', async () => {
  await inbox.configure(inboxConfig())
  expectRefused(await inbox.naru(['run', 'unknown.table']), {
    status: 2,
    code: 'SELECTOR_UNKNOWN',
    says: ['"unknown.table"', 'shop.order'],
  })
})
