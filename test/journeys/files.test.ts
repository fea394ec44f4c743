import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, utimes } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { inboxConfig, makeInbox, ordersCsv, type Inbox } from '../support/inbox.ts'
import { expectNoSecret } from '../support/project.ts'
import { startSystems, townsCsv, type Shop, type Systems } from '../support/shop.ts'

async function newInbox(config?: string): Promise<Inbox> {
  const inbox = await makeInbox(config)
  onTestFinished(() => inbox.remove())
  return inbox
}

const rejects = 'select file, line, reason, detail from naru.reject order by file, line'

/** Lines of data = rows staged + rows rejected: nothing is lost from sight. */
async function expectAllLines(inbox: Inbox, lines: number): Promise<void> {
  const [found] = await inbox.rows(`
    select (select count(*) from staging.shop_order) as staged, (select count(*) from naru.reject) as rejected,
      (select sum(rows_read + rows_rejected) from naru.unit) as read`)
  expect(Number(found?.['staged']) + Number(found?.['rejected'])).toBe(lines)
  expect(Number(found?.['read'])).toBe(lines)
}

describe('a CSV file with bad lines', () => {
  test('ragged lines, a byte-order mark and quoted newlines: good rows arrive, each bad line is kept with file, line and reason', async () => {
    const inbox = await newInbox()
    const content = ordersCsv(
      '1,Ann,10,plain',
      '2,Bob,20', // line 3: a field short
      '3,Cid,30,too,many', // line 4
      '4,"Dan, ""the man""",40,"first line',
      'second line"', // one record of two lines
      '5,"Eve"x,50,a quote in the middle', // line 7
      '6,Fay,60,',
      ',Gus,70,no key', // line 9
      '7,Hal,80,"never closed', // line 10
    )
    await inbox.put('order_bad.csv', `\ufeff${content}`)
    const result = await inbox.run()
    expect(result).toMatchObject({ rowsStaged: 3, staged: { shop_order: 3 }, rejected: { shop_order: 5 } })
    expect(await inbox.rows('select id, customer, amount, note from ods."order" order by id')).toEqual([
      { id: 1, customer: 'Ann', amount: 10, note: 'plain' },
      { id: 4, customer: 'Dan, "the man"', amount: 40, note: 'first line\nsecond line' },
      { id: 6, customer: 'Fay', amount: 60, note: null },
    ])
    const file = 'order_bad.csv'
    expect(await inbox.rows(rejects)).toEqual([
      { file, line: 3n, reason: 'LINE_RAGGED', detail: 'it has 3 fields, the header has 4' },
      { file, line: 4n, reason: 'LINE_RAGGED', detail: 'it has 5 fields, the header has 4' },
      { file, line: 7n, reason: 'LINE_QUOTE', detail: 'a closing quote is followed by other text' },
      { file, line: 9n, reason: 'KEY_MISSING', detail: 'the key is empty' },
      { file, line: 10n, reason: 'LINE_QUOTE', detail: 'a quote on it is not closed before the end of the file' },
    ])
    await expectAllLines(inbox, 8)
  })

  test('cp949 text arrives exactly where the table says cp949, and is rejected line by line where it does not', async () => {
    // 서울 in cp949, and 똠, which cp949 has and euc-kr lacks.
    const seoul = Buffer.from([0xbc, 0xad, 0xbf, 0xef])
    const ttom = Buffer.from([0x8c, 0x63])
    const line = (id: number, text: Buffer): Buffer =>
      Buffer.concat([Buffer.from(`${id},`), text, Buffer.from(`,${id * 10},\n`)])
    const content = Buffer.concat([Buffer.from(ordersCsv()), line(1, seoul), line(2, ttom), Buffer.from('3,Ann,30,\n')])

    const korean = await newInbox(inboxConfig({ table: "encoding: 'cp949'," }))
    await korean.put('order.csv', content)
    await korean.run()
    expect(await korean.rows('select id, customer from ods."order" order by id')).toEqual([
      { id: 1, customer: '서울' },
      { id: 2, customer: '똠' },
      { id: 3, customer: 'Ann' },
    ])

    const unicode = await newInbox()
    await unicode.put('order.csv', content)
    await unicode.run()
    expect(await unicode.rows('select id, customer from ods."order"')).toEqual([{ id: 3, customer: 'Ann' }])
    expect(await unicode.rows(rejects)).toEqual(
      [2n, 3n].map(at => ({ file: 'order.csv', line: at, reason: 'LINE_NOT_TEXT', detail: 'it is not text in utf-8' })),
    )
    await expectAllLines(unicode, 3)
  })

  test('a line of 300 MB is rejected, and the lines around it arrive', async () => {
    const inbox = await newInbox()
    await inbox.put('order.csv', ordersCsv('1,Ann,10,'))
    const file = createWriteStream(path.join(inbox.inbox, 'order.csv'), { flags: 'a' })
    const piece = Buffer.alloc(1_000_000, 'x')
    file.write('2,')
    for (let i = 0; i < 300; i++) if (!file.write(piece)) await once(file, 'drain')
    file.end(',20,\n3,Cid,30,\n')
    await once(file, 'close')

    await inbox.run()
    expect(await inbox.rows('select id from ods."order" order by id')).toEqual([{ id: 1 }, { id: 3 }])
    expect(await inbox.rows('select line, reason, bytes, length(content) < 65536 as short from naru.reject')).toEqual([
      { line: 3n, reason: 'LINE_TOO_LONG', bytes: 300_000_006n, short: true },
    ])
    await expectAllLines(inbox, 3)
  })

  test('a file without a column that the table needs stops by itself, and the other files arrive', async () => {
    const inbox = await newInbox()
    await inbox.put('order1.csv', 'id,customer,note\n1,Ann,\n')
    await inbox.put('order2.csv', ordersCsv('2,Bob,20,'))
    const { stderr, rowsStaged } = await inbox.run()
    expect(rowsStaged).toBe(1)
    expect(stderr).toContain('warning: file "order1.csv" has no column "amount"; its header has: id, customer, note')
    expect(stderr).toContain('Ask the sender for the column')
  })
})

test('the same file under two names is loaded once', async () => {
  const inbox = await newInbox()
  const content = ordersCsv('1,Ann,10,', '2,Bob,20,')
  await inbox.put('order1.csv', content)
  await inbox.put('order2.csv', content)
  const first = await inbox.run()
  expect(first).toMatchObject({ rowsRead: 2, rowsStaged: 2, rejected: {} })
  expect(first.stderr).toContain('order2.csv is duplicate: same content as order1.csv')

  const before = await inbox.visible()
  await inbox.put('order3.csv', content)
  const second = await inbox.run()
  expect(second).toMatchObject({ rowsRead: 0, rowsStaged: 0 })
  expect(second.stderr).toContain('order3.csv is duplicate: same content as order1.csv')
  expect(await inbox.visible()).toEqual(before)
})

describe('files of a partner on an FTP server', () => {
  let systems: Systems
  let shop: Shop
  beforeAll(async () => {
    systems = await startSystems()
    shop = await systems.shop()
    await shop.run()
  })
  afterAll(() => systems.stop())

  const townName = "select name from ods.town where code = 'T0'"

  test('a half-uploaded file is not taken, and the run says so', async () => {
    const before = await shop.visible()
    const half = townsCsv().slice(0, -20)
    await shop.drop('town_late.csv', half, null)
    await shop.drop('town_later.csv.part', half, null)
    const { stderr, rowsStaged } = await shop.run('partner')
    expect(rowsStaged).toBe(0)
    expect(stderr).toContain(
      'partner.town: town_late.csv is not taken yet: its side-car town_late.csv.md5 is not there',
    )
    expect(stderr).toContain(
      'partner.town: town_later.csv.part is not taken yet: its name says that it is being written',
    )
    expect(await shop.visible()).toEqual(before)

    await rename(path.join(shop.dropFolder, 'town_later.csv.part'), path.join(shop.dropFolder, 'town_later.csv'))
    await shop.drop('town_later.csv', townsCsv('T3,Ulsan,1100000'))
    expect((await shop.run('partner')).rowsStaged).toBe(1)
  })

  test('a side-car that does not match stops that file; the other sources go on, and it is taken once mended', async () => {
    const content = townsCsv('T3,Ulsan,1100000').replace('Seoul', 'Hanyang')
    await shop.drop('town_new.csv', content, '0'.repeat(32))
    await shop.db.query('update sale set amount = amount + 1, updated_at = now() where id <= 3')
    const refused = await shop.naru(['run'])
    expect(refused.status, refused.stderr).toBe(0)
    expect(refused.stderr).toContain('warning: file "town_new.csv" does not match its side-car')
    expect(refused.stderr).toContain('Ask the sender for the file and its side-car again')
    expectNoSecret(refused, shop.secrets)
    expect(await shop.rows(townName)).toEqual([{ name: 'Seoul' }])
    expect(await shop.rows('select amount from ods.sale where id <= 3 order by id')).toEqual(
      [11, 21, 31].map(amount => ({ amount })),
    )
    expect(await shop.rows("select name, state from naru.file where state = 'refused'")).toEqual([
      { name: 'town_new.csv', state: 'refused' },
    ])

    await shop.drop('town_new.csv', content)
    expect((await shop.run('partner')).rowsStaged).toBe(1)
    expect(await shop.rows(townName)).toEqual([{ name: 'Hanyang' }])
  })

  test('an old list that comes late does not replace a newer one, and one that is sent again does', async () => {
    const before = await shop.visible()
    await shop.drop('town_old.csv', townsCsv('T8,Gunsan,260000'))
    const old = new Date('2026-01-01')
    await utimes(path.join(shop.dropFolder, 'town_old.csv'), old, old)
    const { stderr, rowsStaged } = await shop.run('partner')
    expect(rowsStaged).toBe(0)
    expect(stderr).toContain(
      'partner.town: town_old.csv is superseded: town_new.csv is a newer state of the whole table',
    )
    expect(await shop.visible()).toEqual(before)

    const now = new Date()
    await utimes(path.join(shop.dropFolder, 'town_old.csv'), now, now)
    expect((await shop.run('partner')).staged['partner_town']).toBe(4)
    expect(await shop.rows("select name from ods.town where code in ('T0', 'T8') order by code")).toEqual([
      { name: 'Seoul' },
      { name: 'Gunsan' },
    ])
  })
})
