import assert from 'node:assert/strict'
import { isValid, type ColumnBatch, type ColumnData } from '../../core/batch.ts'
import { cellText } from '../../core/cell-text.ts'
import { isNaruError } from '../../core/errors.ts'
import { ident, joinSql, rawSql, sql, type Ident } from '../../core/sql.ts'
import { typeText, type ColumnDef, type ColumnType } from '../../core/types.ts'
import { batchOf, column, type TestValue } from '../../testing/suite/batches.ts'
import { typeCases } from '../../testing/suite/type-cases.ts'
import { signal, type EnginePromise } from './conformance-support.ts'
import type { Cell, Engine, Transaction } from './contract.ts'

const line = column('_line', { kind: 'int', bits: 64 })

async function createTable(tx: Transaction, table: Ident, columns: readonly ColumnDef[]): Promise<void> {
  const list = columns.map(({ name, type }) => sql`${ident(name)} ${rawSql(tx.dialect.type(type))}`)
  await tx.execute(sql`create table ${table} (${joinSql(list)})`)
}

/** Appends the batches to a table of their own, reads it back, and compares every value. */
export async function checkRoundTrip(
  engine: Engine,
  columns: readonly ColumnDef[],
  batches: readonly ColumnBatch[],
): Promise<void> {
  const table = ident('round_trip')
  const all = [line, ...columns]
  const found = await engine.transaction(signal, async tx => {
    await tx.execute(sql`drop table if exists ${table}`)
    await createTable(tx, table, all)
    let from = 0n
    for (const batch of batches) {
      await tx.append(table, all, numbered(batch, from))
      from += BigInt(batch.rows)
    }
    return tx.rows(sql`select * from ${table} order by ${ident(line.name)}`)
  })
  const expected = batches.flatMap(batch => expectedRows(columns, batch))
  assert.equal(found.length, expected.length)
  found.forEach((row, i) =>
    assert.deepEqual(
      columns.map(({ name }) => row[name]),
      expected[i],
      `row ${i}`,
    ),
  )
}

function numbered(batch: ColumnBatch, from: bigint): ColumnBatch {
  const numbers = Array.from({ length: batch.rows }, (_, i) => from + BigInt(i))
  return { rows: batch.rows, columns: [batchOf([line], [numbers]).columns[0] as ColumnData, ...batch.columns] }
}

function expectedRows(columns: readonly ColumnDef[], batch: ColumnBatch): readonly (readonly unknown[])[] {
  return Array.from({ length: batch.rows }, (_, row) =>
    columns.map(({ type }, i) => expectedCell(type, batch.columns[i] as ColumnData, row)),
  )
}

/** Rows of bulk: what goes in comes out. */
export const rowPromises: readonly EnginePromise[] = [
  ...typeCases.map(({ type, values }) => ({
    name: `${typeText(type).slice(0, 40)} comes back as it went in, at its limits and as NULL`,
    check: async (engine: Engine) => {
      const columns = [column('v', type)]
      await checkRoundTrip(engine, columns, [
        batchOf(columns, [[...values, null]]),
        batchOf(columns, [values]),
        batchOf(columns, [[null, null]]),
      ])
    },
  })),
  ...[0, 1, 2047, 2048, 2049, 6000].map(rows => ({
    name: `a batch of ${rows} rows is taken whole`,
    check: async (engine: Engine) => {
      const columns = typeCases.map(({ type }, i) => column(`c${i}`, type))
      const values = typeCases.map((it, i) =>
        Array.from({ length: rows }, (_, row) =>
          (row + i) % 7 === 0 ? null : short(it.values[row % it.values.length] as TestValue),
        ),
      )
      await checkRoundTrip(engine, columns, [batchOf(columns, values)])
    },
  })),
  {
    name: 'long and short texts lie beside each other, whatever lies under a NULL',
    check: async engine => {
      const columns = [column('t', { kind: 'text' }), column('b', { kind: 'bytes' })]
      const texts = Array.from({ length: 5000 }, (_, i) =>
        i % 11 === 0 ? null : '한글 é€😀'.repeat(i % 5) + 'x'.repeat(i % 23),
      )
      const bytes = texts.map((text, i) =>
        text === null
          ? null
          : Buffer.from([0xff, 0, i & 255])
              .toString('hex')
              .repeat(i % 9),
      )
      const batch = batchOf(columns, [texts, bytes.map(it => (it === null ? null : Buffer.from(it, 'hex')))])
      // The same rows again, where what lies under NULL is no UTF-8.
      const dirty = {
        rows: 3,
        columns: [underNull('a long text that has its own place', 0xc3), underNull('another of the kind', 0xff)],
      }
      await checkRoundTrip(engine, columns, [batch, dirty, batch])
    },
  },
  {
    name: 'a text that is not UTF-8 is refused, and never becomes NULL',
    check: async engine => {
      const columns = [column('t', { kind: 'text' })]
      const broken = Buffer.from('a text that has its own place').fill(0xc3, 20, 21)
      const whole = Buffer.from('a text that ends within a character é')
      const texts = [
        { data: broken, ends: [broken.length] },
        { data: whole, ends: [whole.length - 1, whole.length] },
      ]
      for (const { data, ends } of texts) {
        const given: ColumnData = { layout: 'bytes', validity: null, offsets: Uint32Array.of(0, ...ends), data }
        await assert.rejects(
          engine.transaction(signal, async tx => {
            await createTable(tx, ident('not_text'), columns)
            await tx.append(ident('not_text'), columns, { rows: ends.length, columns: [given] })
            await tx.rows(sql`select * from ${ident('not_text')}`)
          }),
          isNaruError,
        )
      }
    },
  },
  {
    name: 'many small batches, one after the other, keep their rows apart',
    check: async engine => {
      const columns = [column('a', { kind: 'text' }), column('b', { kind: 'int', bits: 32 })]
      const batches = Array.from({ length: 300 }, (_, i) =>
        batchOf(columns, [
          ['x'.repeat(i % 40), i % 3 === 0 ? null : 'y'],
          [BigInt(i), null],
        ]),
      )
      await checkRoundTrip(engine, columns, batches)
    },
  },
  {
    name: 'appended rows are seen by the next statement, and tables may alternate',
    check: async engine => {
      const columns = [column('a', { kind: 'int', bits: 32 })]
      const [one, two] = [ident('one'), ident('two')]
      await engine.transaction(signal, async tx => {
        for (const table of [one, two]) await createTable(tx, table, columns)
        for (let i = 1; i <= 3; i++) {
          await tx.append(one, columns, batchOf(columns, [[BigInt(i)]]))
          await tx.append(two, columns, batchOf(columns, [[BigInt(-i)]]))
          const seen = await tx.rows(sql`select (select count(*) from ${one}) a, (select count(*) from ${two}) b`)
          assert.deepEqual(seen, [{ a: BigInt(i), b: BigInt(i) }])
        }
        assert.equal(await tx.execute(sql`delete from ${one} where a < 3`), 2)
      })
    },
  },
  {
    name: 'rows that do not have the layout of the table are refused',
    check: async engine => {
      const small = column('a', { kind: 'int', bits: 32 })
      const large = column('a', { kind: 'int', bits: 64 })
      await engine.transaction(signal, tx => createTable(tx, ident('narrow'), [small]))
      const wrong: readonly [readonly ColumnDef[], ColumnBatch][] = [
        [[large], batchOf([large], [[1n]])],
        [[small], batchOf([large], [[1n]])],
        [[small], { ...batchOf([small], [[1n]]), rows: 2 }],
        [[small, small], batchOf([small, small], [[1n], [1n]])],
      ]
      for (const [columns, batch] of wrong) {
        await assert.rejects(
          engine.transaction(signal, tx => tx.append(ident('narrow'), columns, batch)),
          { code: 'INTERNAL' },
        )
      }
    },
  },
]

/** Three rows: the text, a NULL over bytes that are no text, the text. */
function underNull(text: string, byte: number): ColumnData {
  const value = Buffer.from(text)
  const data = Buffer.concat([value, Buffer.alloc(20, byte), value])
  const offsets = Uint32Array.of(0, value.length, value.length + 20, data.length)
  return { layout: 'bytes', validity: Uint8Array.of(0b101), offsets, data }
}

/** Thousands of rows with a long value each would only be slow. */
function short(value: TestValue): TestValue {
  return typeof value === 'string' ? value.slice(0, 300) : value
}

/** What the engine must give back for one value of a batch. */
function expectedCell(type: ColumnType, data: ColumnData, row: number): Cell {
  if (!isValid(data.validity, row)) return null
  const text = cellText(type, data, row) as string
  switch (type.kind) {
    case 'bool':
      return text === 'true'
    case 'int':
      return type.bits === 64 ? BigInt(text) : Number(text)
    case 'float':
      return floatOf(data, row)
    default:
      return text
  }
}

/** A 32-bit float comes back as the number that it is, not as its shortest text. */
function floatOf(data: ColumnData, row: number): number {
  if (data.layout === 'bytes') throw new TypeError('a float has a fixed layout')
  const value = new DataView(data.data.buffer, data.data.byteOffset + row * data.width, data.width)
  return data.width === 4 ? value.getFloat32(0, true) : value.getFloat64(0, true)
}
