import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { describe, expectTypeOf, test } from 'vitest'
import { outbox } from '../outbox.ts'
import { t } from './column.ts'

const shop = {
  item: {
    key: ['id'],
    columns: {
      id: t.big(),
      name: t.text().null().pii(),
      price: t.decimal(20, 2),
      at: t.timestamptz(),
      state: t.enum('new', 'sold'),
      photo: t.bytes().null(),
      more: t.json().null(),
    },
  },
} as const

describe('the outbox of an application', () => {
  const items = outbox(shop, 'item', 'postgres')

  test('values keep every digit, and what is left out is not told', () => {
    const { text, values } = items.update({
      id: 9_007_199_254_740_993n,
      price: '12345678901234567.10',
    })
    assert.match(
      text,
      /^insert into naru_capture\.outbox \("table_name", "op", "key", "row"\) values \(\$1, \$2, \$3, \$4\)/,
    )
    assert.deepEqual(values, [
      'item',
      'update',
      '{"id":9007199254740993}',
      '{"id":9007199254740993,"price":"12345678901234567.10"}',
    ])
  })

  test('a row of every type is one statement of the driver', () => {
    const { text, values } = outbox(shop, 'item', 'mysql').insert(
      {
        id: 1n,
        name: "it's",
        price: '1.50',
        at: new Date(0),
        state: 'new',
        photo: new Uint8Array([1, 2]),
        more: { a: [1] },
      },
      { idempotencyKey: 'request 7' },
    )
    assert.equal(text.match(/\?/g)?.length, values.length)
    assert.equal(values.at(-1), 'request 7')
    assert.equal(
      values[3],
      `{"id":1,"name":"it's","price":"1.50","at":"1970-01-01T00:00:00.000Z","state":"new","photo":"AQI=","more":{"a":[1]}}`,
    )
  })

  test('a key that changed is told with the one before', () => {
    assert.equal(items.update({ id: 2n }, { before: { id: 1n } }).values[2], '{"id":1}')
    assert.equal(items.delete({ id: 2n }).values[3], null)
  })

  test('printing a statement shows no value of the row', () => {
    const event = items.update({ id: 1n, name: 'Ada Lovelace' })
    for (const shown of [String(event), inspect(event), JSON.stringify(event)]) assert.ok(!shown.includes('Ada'), shown)
    assert.equal(String(event), 'event update of item')
  })

  test('a column that the table does not have, or a key without a value, is refused', () => {
    assert.throws(() => items.update({ id: 1n, nam: 'x' } as never), /no column "nam"/)
    assert.throws(() => items.delete({} as never), /key column "id"/)
  })

  test('the editor knows the columns and their types', () => {
    expectTypeOf(items.insert).parameter(0).toHaveProperty('price').toEqualTypeOf<string>()
    expectTypeOf(items.insert).parameter(0).toHaveProperty('name').toEqualTypeOf<string | null>()
    expectTypeOf(items.delete).parameter(0).toEqualTypeOf<{ readonly id: bigint }>()
    // @ts-expect-error -- a decimal is text: a number would lose digits
    void (() => items.update({ id: 1n, price: 1.5 }))
    // @ts-expect-error -- 'gone' is no state
    void (() => items.update({ id: 1n, state: 'gone' }))
  })
})
