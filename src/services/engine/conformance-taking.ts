import assert from 'node:assert/strict'
import { ident, joinSql, rawSql, sql, type Ident } from '../../core/sql.ts'
import { batchOf, column, type TestValue } from '../../testing/suite/batches.ts'
import { typeCases } from '../../testing/suite/type-cases.ts'
import { numbers, signal, type EnginePromise } from './conformance-support.ts'
import type { Engine, Row, Transaction } from './contract.ts'

const [table, wanted, taken] = [ident('source'), ident('temp', 'wanted'), ident('temp', 'taken')]
const columns = typeCases.map(({ type }, i) => column(`c${i}`, type))
const given = { table, keys: wanted, key: ['n', 'b'], into: taken }

/** A table with the key (`n`, `b`) and a column of each type: a value where `n` is even, NULL where it is odd. */
async function fill(engine: Engine, rows: number): Promise<void> {
  const ones = ident('ones')
  const types = (all: typeof columns): ReturnType<typeof sql> =>
    joinSql(all.map(({ name, type }) => sql`${ident(name)} ${rawSql(engine.dialect.type(type))}`))
  const even = column('even', { kind: 'bool' })
  await engine.transaction(signal, async tx => {
    await tx.execute(sql`create table ${ones} (${types([even, ...columns])})`)
    const values = typeCases.map(it => [(it.values[1] ?? it.values[0]) as TestValue, null])
    await tx.append(ones, [even, ...columns], batchOf([even, ...columns], [[true, false], ...values]))
    await tx.execute(sql`create table ${table} as select x.n, cast(x.n as varchar) as b, o.*
      from ${numbers(rows)} x join ${ones} o on o.even = (x.n % 2 = 0)`)
  })
}

const read = (tx: Transaction, from: Ident): Promise<readonly Row[]> => tx.rows(sql`select * from ${from} order by n`)

async function count(tx: Transaction): Promise<number> {
  return Number((await tx.rows(sql`select count(*) as n from ${table}`))[0]?.['n'])
}

/** Moving rows of some keys out of a table. */
export const takingPromises: readonly EnginePromise[] = [
  ...[40, 30_000].map(size => ({
    name: `the rows of some keys leave a table of ${size.toLocaleString('en')} rows as they are, those of the same transaction too`,
    check: async (engine: Engine) => {
      await fill(engine, size)
      await engine.transaction(signal, async tx => {
        const of = sql`n in (3, 7, 8, 9, 21, 22) or n > ${size - 2}`
        await tx.replaceTemp(taken, sql`select * from ${table} where n in (7, 8)`)
        await tx.execute(sql`delete from ${table} where n in (7, 8)`)
        await tx.execute(sql`insert into ${table} select * from ${taken}`)
        await tx.replaceTemp(ident('temp', 'expected'), sql`select * from ${table} where ${of}`)
        const expected = await read(tx, ident('temp', 'expected'))
        const nobody = sql`select cast(${-1n} as bigint), 'x' union all select cast(${null} as bigint), 'x'`
        const other = sql`select cast(${4n} as bigint), 'not 4'`
        await tx.replaceTemp(wanted, sql`select n, b from ${table} where ${of} union all ${nobody} union all ${other}`)
        assert.equal(await tx.takeRows(given), 8)
        assert.deepEqual(await read(tx, taken), expected)
        assert.equal(await count(tx), size - 8)
        assert.deepEqual(await tx.rows(sql`select n from ${table} where ${of}`), [])
        assert.deepEqual(await tx.columns(taken), await tx.columns(table))

        await tx.execute(sql`insert into ${table} select * from ${taken}`)
        assert.equal(await tx.takeRows(given), 8)
        assert.equal(await tx.takeRows(given), 0)
        assert.deepEqual(await read(tx, taken), [])
      })
    },
  })),
  {
    name: 'rows that were taken are where they were when the transaction is rolled back',
    check: async engine => {
      await fill(engine, 30_000)
      const failing = engine.transaction(signal, async tx => {
        await tx.replaceTemp(wanted, sql`select n, b from ${table} where n <= 20`)
        assert.equal(await tx.takeRows(given), 20)
        throw new Error('on purpose')
      })
      await assert.rejects(failing, { message: 'on purpose' })
      assert.equal(await engine.transaction(signal, count), 30_000)
    },
  },
]
