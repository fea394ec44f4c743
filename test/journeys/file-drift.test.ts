import { afterEach, describe, expect, test } from 'vitest'
import { gzipSync } from 'node:zlib'
import { files, ods, t } from '../../src/index.ts'
import type { Handle } from '../../src/config/handle.ts'
import type { FileTable } from '../../src/config/files.ts'
import type { Columns } from '../../src/config/column.ts'
import { makeParquet } from '../support/parquet.ts'
import { makeFolder, type Folder } from '../support/folder.ts'

const columns = { id: t.int(), name: t.text(), amount: t.decimal(10, 2).null() }

type Contract = NonNullable<Parameters<typeof files>[1]['contract']>
interface Given {
  readonly contract?: unknown
  readonly table?: Partial<FileTable<typeof columns>>
  readonly columns?: Columns
}

function models(inbox: string, { contract, table = {}, columns: more = {} }: Given): Record<string, Handle> {
  const all = { ...columns, ...more }
  const order = { glob: 'order*', key: 'id', scope: 'delta', columns: all, ...table } as FileTable<typeof columns>
  const shop = files('shop', {
    folder: inbox,
    tables: { order },
    ...(contract === undefined ? {} : { contract: contract as Contract }),
  })
  const entity = ods.entity('order', { key: 'id', columns: { id: t.int(), name: t.text(), amount: columns.amount } })
  return {
    order: ods.export(
      'order',
      entity.from(shop.order, r => ({ id: r.id, name: r.name, amount: r.amount })),
    ),
  }
}

const open: Folder[] = []
afterEach(async () => {
  for (const folder of open.splice(0)) await folder.remove()
})

async function folderWith(given: Given): Promise<Folder> {
  const folder = await makeFolder(inbox => models(inbox, given))
  open.push(folder)
  return folder
}

const staged = (folder: Folder, list = '* exclude (_load, _unit, _line)'): Promise<unknown> =>
  folder.rows(`select ${list} from staging.shop_order order by id`)
const states = (folder: Folder): Promise<unknown> =>
  folder.rows('select name, state from naru.file order by name, state')
const notes = async (folder: Folder): Promise<string> => (await folder.run()).notes.join('\n')

const first = 'id,name,amount\n1,Ann,10\n2,Bob,20\n'
const wider = 'id,name,amount,note,phone\n3,Cid,30,hello,010\n2,Bob,25,changed,011\n'

describe('a column of a file that the config does not name', () => {
  test.each([[undefined], ['discard']])('under %s is told and left', async contract => {
    const folder = await folderWith({ contract })
    await folder.put('order1.csv', wider)
    const told = await notes(folder)
    expect(told).toContain('order1.csv for shop.order has columns that the configuration does not name: note, phone')
    expect(await staged(folder)).toHaveLength(2)
    expect(
      await folder.rows(
        `select column_name from information_schema.columns where table_name = 'shop_order' and column_name in ('note', 'phone')`,
      ),
    ).toEqual([])
  })

  test('under freeze sets its file aside with a named error, the others arrive, and it is taken once the config names it', async () => {
    const folder = await folderWith({ contract: 'freeze' })
    await folder.put('order1.csv', first)
    await folder.put('order2.csv', wider)
    await folder.put('order3.csv', 'id,name,amount\n4,Dan,40\n')
    const told = await notes(folder)
    expect(told).toContain('file "order2.csv" has columns that the configuration does not name: note, phone')
    expect(told).toContain("{ added: 'evolve' } stages them")
    expect(await staged(folder, 'id')).toEqual([{ id: '1' }, { id: '2' }, { id: '4' }])
    expect(await states(folder)).toEqual([
      { name: 'order1.csv', state: 'loaded' },
      { name: 'order2.csv', state: 'refused' },
      { name: 'order3.csv', state: 'loaded' },
    ])
    const more = { note: t.text().null(), phone: t.text().null() }
    folder.configure(models(folder.inbox, { contract: 'freeze', columns: more }))
    await folder.run()
    expect(await staged(folder, 'id, note')).toEqual([
      { id: '1', note: null },
      { id: '2', note: 'changed' },
      { id: '3', note: 'hello' },
      { id: '4', note: null },
    ])
  })

  test.each([['delta'], ['full']] as const)(
    'under evolve is staged in a folder of %s files, and files without it have NULL',
    async scope => {
      const folder = await folderWith({ contract: 'evolve', table: { scope } })
      await folder.put('order1.csv', first)
      await folder.run()
      await folder.put('order2.csv', wider)
      expect(await notes(folder)).toContain('they are staged, with NULL in the rows of earlier files')
      const old = scope === 'delta' ? [{ id: '1', amount: '10', note: null }] : []
      expect(await staged(folder, 'id, amount, note')).toEqual([
        ...old,
        { id: '2', amount: '25', note: 'changed' },
        { id: '3', amount: '30', note: 'hello' },
      ])
      expect(await folder.rows('select "column" as c, state from naru."column" order by c')).toEqual([
        { c: 'note', state: 'evolved' },
        { c: 'phone', state: 'evolved' },
      ])
      await folder.put('order3.csv', 'phone,id,name,amount\n012,5,Eve,50\n')
      expect(await notes(folder)).toContain('order3.csv for shop.order has no note: NULL in its rows')
      expect(await staged(folder, 'id, note, phone')).toContainEqual({ id: '5', note: null, phone: '012' })
      expect(await folder.rows('select count(*) as n from naru.reject')).toEqual([{ n: 0n }])
      expect((await folder.run()).rowsStaged).toBe(0)
    },
  )

  test('that evolve took in stays when the contract changes, and is described without reading anything again', async () => {
    const folder = await folderWith({ contract: 'evolve' })
    await folder.put('order1.csv', wider)
    await folder.run()
    folder.configure(models(folder.inbox, { columns: { note: t.text().null() } }))
    await folder.put('order2.csv', 'id,name,amount,note,phone,more\n6,Fay,60,n,013,x\n')
    expect(await notes(folder)).toContain('does not name: more')
    expect(await staged(folder, 'id, note, phone')).toContainEqual({ id: '6', note: 'n', phone: '013' })
  })

  test('and its load can be undone and read again', async () => {
    const folder = await folderWith({ contract: 'evolve' })
    await folder.put('order1.csv', first)
    await folder.run()
    await folder.put('order2.csv', wider)
    await folder.run()
    const after = await staged(folder)
    await folder.undo('2')
    expect(await staged(folder, 'id, amount, note')).toEqual([
      { id: '1', amount: '10', note: null },
      { id: '2', amount: '20', note: null },
    ])
    await folder.run()
    expect(await staged(folder)).toEqual(after)
  })

  test('of JSON lines is found wherever it stands in the file', async () => {
    const folder = await folderWith({ contract: 'evolve', table: { glob: 'order*.ndjson' } })
    const line = (id: number, more = ''): string => `{"id":${id},"name":"n"${more}}\n`
    const many = Array.from({ length: 70_000 }, (_, i) => line(i + 2)).join('')
    await folder.put('order1.ndjson', `${line(1, ',"a":{"b":[1]}')}${many}${line(99_999, ',"late":7')}`)
    await folder.run()
    expect(
      await folder.rows(
        'select id, a, late from staging.shop_order where a is not null or late is not null order by id',
      ),
    ).toEqual([
      { id: '1', a: '{"b":[1]}', late: null },
      { id: '99999', a: null, late: '7' },
    ])
  })

  test('of Parquet has its own type, and one that changes it later is tried value by value', async () => {
    const folder = await folderWith({ contract: 'evolve', table: { glob: 'order*.parquet' } })
    const rows = (id: number, score: string): string =>
      `select ${id}::integer as id, 'n' as name, 1.50::decimal(10,2) as amount, ${score} as score`
    await folder.put('order1.parquet', await makeParquet(rows(1, '7::bigint')))
    await folder.put('order2.parquet', await makeParquet(`${rows(2, "'8'")} union all ${rows(3, "'x'")}`))
    expect(await notes(folder)).toContain(
      'order2.parquet for shop.order: column score was int64 and is now VARCHAR (text); rows that do not fit int64 are rejected',
    )
    expect(await staged(folder, 'id, score')).toEqual([
      { id: 1, score: 7n },
      { id: 2, score: 8n },
    ])
    expect(await folder.rows('select file, line, reason, detail from naru.reject')).toEqual([
      {
        file: 'order2.parquet',
        line: 2n,
        reason: 'VALUE_NOT_IN_TYPE',
        detail: 'column score of the source no longer fits int64',
      },
    ])
  })

  test('of a packed archive is decided for each member', async () => {
    const folder = await folderWith({ contract: 'evolve', table: { glob: 'order*' } })
    await folder.put('order1.csv.gz', gzipSync(wider))
    await folder.run()
    expect(await staged(folder, 'id, phone')).toEqual([
      { id: '2', phone: '011' },
      { id: '3', phone: '010' },
    ])
  })
})

describe('a column of the config that a file lacks', () => {
  const shorter = 'id,amount\n7,70\n'

  test.each([[undefined], ['freeze'], ['discard'], [{ added: 'evolve' }]])(
    'under %j refuses the file',
    async contract => {
      const folder = await folderWith({ contract })
      await folder.put('order1.csv', first)
      await folder.put('order2.csv', shorter)
      expect(await notes(folder)).toContain('file "order2.csv" has no column "name"; its header has: id, amount')
      expect(await staged(folder, 'id')).toEqual([{ id: '1' }, { id: '2' }])
    },
  )

  test('under evolve is NULL in its rows, and told', async () => {
    const folder = await folderWith({ contract: { dropped: 'evolve' } })
    await folder.put('order1.csv', first)
    await folder.put('order2.csv', shorter)
    expect(await notes(folder)).toContain('order2.csv for shop.order has no name: NULL in its rows')
    expect(await staged(folder, 'id, name')).toEqual([
      { id: '1', name: 'Ann' },
      { id: '2', name: 'Bob' },
      { id: '7', name: null },
    ])
  })

  test('and that is the key refuses the file under any contract', async () => {
    const folder = await folderWith({ contract: 'evolve' })
    await folder.put('order1.csv', 'name,amount\nAnn,1\n')
    expect(await notes(folder)).toContain('file "order1.csv" has no column "id"')
  })

  test('of JSON is NULL where it may be, refuses the file where it may not, and is NULL under evolve', async () => {
    const lines = '{"id":1}\n{"id":2}\n'
    const table = { glob: 'order*.ndjson' }
    const strict = await folderWith({ contract: 'freeze', table })
    await strict.put('order1.ndjson', lines)
    expect(await notes(strict)).toContain('file "order1.ndjson" has no column "name"')
    const free = await folderWith({ contract: 'evolve', table })
    await free.put('order1.ndjson', lines)
    await free.run()
    expect(await staged(free)).toEqual(['1', '2'].map(id => ({ id, name: null, amount: null })))
  })
})

describe('a column of another type', () => {
  const parquet = (amount: string): Promise<Uint8Array> =>
    makeParquet(`select i::integer as id, 'n' as name, ${amount} as amount from range(1, 4) r(i)`)
  const table = { glob: 'order*.parquet' }

  test('under freeze sets the file aside with both types, though a narrower one is none', async () => {
    const folder = await folderWith({ contract: 'freeze', table })
    await folder.put('order1.parquet', await parquet('i::decimal(8,2)'))
    await folder.put('order2.parquet', await parquet('i::double'))
    expect(await notes(folder)).toContain(
      'file "order2.parquet": column "amount" is DOUBLE (float64) there; the configuration says decimal(10,2)',
    )
    expect(await staged(folder, 'id')).toHaveLength(3)
  })

  test.each([[undefined], ['evolve']])('under %s takes the rows that fit, and rejects the others', async contract => {
    const folder = await folderWith({ contract, table })
    await folder.put('order1.parquet', await parquet(`case i when 2 then 0.125::double else i end`))
    await folder.run()
    expect(await staged(folder, 'id, cast(amount as varchar) as amount')).toEqual([
      { id: 1, amount: '1.00' },
      { id: 3, amount: '3.00' },
    ])
    expect(await folder.rows('select file, line, reason from naru.reject')).toEqual([
      { file: 'order1.parquet', line: 2n, reason: 'VALUE_NOT_IN_TYPE' },
    ])
  })

  test('in text is a matter of its values: what does not fit waits in quarantine', async () => {
    const folder = await folderWith({ contract: 'freeze' })
    await folder.put('order1.csv', 'id,name,amount\n1,Ann,ten\n2,Bob,20\n')
    await folder.run()
    expect(await folder.rows('select id from ods."order"')).toEqual([{ id: 2 }])
    expect(await folder.rows('select count(*) as n from naru.quarantine')).toEqual([{ n: 1n }])
  })
})

describe('options of the table that decide what is read', () => {
  const semicolons = 'id;name;amount\n1;"Ann";10\n'

  test('when they change, the run names the files that were read before and the commands that read them again', async () => {
    const folder = await folderWith({ table: { format: { kind: 'csv', quote: 'none' } } })
    await folder.put('order1.csv', semicolons)
    await folder.put('order2.csv', semicolons.replace('1', '2'))
    await folder.run()
    await folder.put('order3.csv', semicolons.replace('1', '3'))
    await folder.run()
    expect(await folder.rows('select distinct name from staging.shop_order')).toEqual([{ name: '"Ann"' }])
    folder.configure(models(folder.inbox, {}))
    const told = await notes(folder)
    expect(told).toContain('shop.order: order3.csv, order1.csv, order2.csv were read by other options')
    expect(told).toContain('naru undo 2, naru undo 1, naru run')
    expect(told).not.toContain('put back')
    await folder.undo('2')
    await folder.undo('1')
    expect(await notes(folder)).not.toContain('other options')
    expect(await folder.rows('select distinct name from staging.shop_order')).toEqual([{ name: 'Ann' }])
  })

  test('a file that is no longer there is named, because undo would lose its rows', async () => {
    const folder = await folderWith({})
    await folder.put('order1.csv', first)
    await folder.run()
    await folder.take('order1.csv')
    folder.configure(models(folder.inbox, { table: { encoding: 'cp949' } }))
    expect(await notes(folder)).toContain('first put back order1.csv, which is no longer in the folder')
  })

  test('after a file was read by the new ones, nothing is told any more', async () => {
    const folder = await folderWith({})
    await folder.put('order1.csv', first)
    await folder.run()
    folder.configure(models(folder.inbox, { table: { encoding: 'cp949' } }))
    await folder.put('order2.csv', 'id,name,amount\n3,Cid,30\n')
    expect(await notes(folder)).toContain('order1.csv were read by other options')
    expect(await notes(folder)).toBe('')
  })

  test('a column that may be NULL and comes to the table is told with the files that lack it, and read after an undo', async () => {
    const folder = await folderWith({})
    await folder.put('order1.csv', wider)
    await folder.run()
    folder.configure(models(folder.inbox, { columns: { note: t.text().null() } }))
    expect(await notes(folder)).toContain(
      'note came to the table, and the rows of order1.csv have NULL there. To read it again: naru undo 1, naru run',
    )
    expect(await staged(folder, 'id, note')).toEqual([
      { id: '2', note: null },
      { id: '3', note: null },
    ])
    await folder.undo('1')
    await folder.run()
    expect(await staged(folder, 'id, note')).toEqual([
      { id: '2', note: 'changed' },
      { id: '3', note: 'hello' },
    ])
  })
})

test('a file that comes again under another name is known after another file had its first name', async () => {
  const folder = await folderWith({})
  await folder.put('orders.csv', first)
  await folder.run()
  await folder.put('orders.csv', first.replace('Ann', 'Anna'))
  await folder.run()
  await folder.put('orders_again.csv', first)
  expect(await notes(folder)).toContain('orders_again.csv is duplicate: same content as orders.csv')
  expect(await staged(folder, 'name')).toEqual([{ name: 'Anna' }, { name: 'Bob' }])
})
