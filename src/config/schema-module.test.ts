import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { realEnv } from '../core/env.ts'
import type { ColumnType } from '../core/types.ts'
import type { TableDescription } from '../services/adapter/contract.ts'
import { readSchemaModule, writeSchemaModule } from './schema-module.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'naru-schema-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function readBack(text: string) {
  const file = path.join(folder, 'schema.ts')
  await writeFile(file, text)
  return readSchemaModule(realEnv(), file)
}

function table(name: string, columns: TableDescription['columns'], key: readonly string[] = []): TableDescription {
  return { name, columns, key, rowsEstimate: null }
}

function column(name: string, type: ColumnType, more: { nullable?: boolean; personal?: boolean } = {}) {
  return { name, type, nullable: false, personal: false, nativeType: type.kind, ...more }
}

const flight = table(
  'flight',
  [column('flight_id', { kind: 'int', bits: 32 }), column('note', { kind: 'text' }, { nullable: true })],
  ['flight_id'],
)
const order = table('Sales.Order Line', [column('Order No', { kind: 'text' }), column('who', { kind: 'text' })])

describe('the schema module', () => {
  it('names tables and columns, keeps the names of the source, and says the native types', () => {
    expect(writeSchemaModule('ops_db', [order, flight]))
      .toBe(`// The tables of source "ops_db", written by \`naru pull ops_db\`, which renews this file.
// Two things added by hand stay: .pii() on columns with personal data, and the key of a table that has none.
import { t } from 'naru'

export const opsDbSchema = {
  sales_order_line: {
    remote: 'Sales.Order Line',
    key: [], // none in the source: the columns that tell rows apart, or 'append' for a log of its changes
    columns: {
      'Order No': t.text(), // text
      who: t.text(), // text
    },
  },
  flight: {
    key: ['flight_id'],
    columns: {
      flight_id: t.int(), // int
      note: t.text().null(), // text
    },
  },
} as const
`)
  })

  it('is the same for the same catalog in another order', () => {
    expect(writeSchemaModule('ops', [order, flight])).toBe(writeSchemaModule('ops', [flight, order]))
  })

  it('keeps personal tags and hand-written keys when it is pulled again', async () => {
    const text = writeSchemaModule('ops', [order, flight])
    const edited = text.replace('key: []', "key: ['Order No']").replace('who: t.text()', 'who: t.text().pii()')
    expect(writeSchemaModule('ops', [order, flight], await readBack(edited))).toBe(edited)
  })

  it('an append log stays one, and is told when its source has a key', async () => {
    const edited = writeSchemaModule('ops', [order]).replace('key: []', "key: 'append'")
    expect(writeSchemaModule('ops', [order], await readBack(edited))).toBe(edited)
    const keyed = { ...order, key: ['Order No'] }
    const again = writeSchemaModule('ops', [keyed], await readBack(edited))
    expect(again).toContain("key: 'append', // the source has a key: ['Order No']")
  })

  it('a kept key goes when its column is gone', async () => {
    const edited = writeSchemaModule('ops', [order]).replace('key: []', "key: ['Order No']")
    const narrower = { ...order, columns: order.columns.slice(1) }
    expect(writeSchemaModule('ops', [narrower], await readBack(edited))).toContain('key: []')
  })

  it('no file yet means nothing to keep', async () => {
    expect(await readSchemaModule(realEnv(), path.join(folder, 'none.ts'))).toEqual({})
  })

  it('whatever a source calls its columns and values reads back the same', async () => {
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.oneof(name, fc.constantFrom('__proto__', "it's", 'a"b', '\\', '*/')), { minLength: 1 }),
        async names => {
          const columns = names.map(given => column(given, { kind: 'enum', values: [given, `${given}'`] }))
          const read = await readBack(writeSchemaModule('x', [table('t', columns, [names[0] as string])]))
          expect(Object.keys(read['t']?.columns ?? {}).sort()).toEqual([...names].sort())
          for (const given of names) {
            expect(Object.getOwnPropertyDescriptor(read['t']?.columns, given)?.value.type.values).toEqual([
              given,
              `${given}'`,
            ])
          }
        },
      ),
      { numRuns: 20 },
    )
  })

  it.each<ColumnType>([
    { kind: 'bool' },
    { kind: 'int', bits: 16 },
    { kind: 'int', bits: 64 },
    { kind: 'decimal', precision: 12, scale: 2 },
    { kind: 'float', bits: 32 },
    { kind: 'float', bits: 64 },
    { kind: 'bytes' },
    { kind: 'json' },
    { kind: 'uuid' },
    { kind: 'date' },
    { kind: 'time' },
    { kind: 'timestamp', zoned: true },
    { kind: 'timestamp', zoned: false },
    { kind: 'interval' },
  ])('reads back the type %o', async type => {
    const read = await readBack(writeSchemaModule('x', [table('t', [column('a', type)], ['a'])]))
    expect(read['t']?.columns['a']?.type).toEqual(type)
  })
})
