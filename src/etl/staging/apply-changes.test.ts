import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../core/sql.ts'
import { controlTables } from '../../run/control-tables.ts'
import type { ChangeSet } from '../../run/context.ts'
import { stagingNames } from '../../run/tables.ts'
import type { Engine, Row, Transaction } from '../../services/engine/contract.ts'
import { never, scratch as scratchOn, stageContext } from '../../testing/engine.ts'
import { stageEngines } from '../../testing/stage-engines.ts'
import { Model, stageChanges, table, type Change, type Value } from './changes.test.support.ts'
import { applyChanges, ensureImage, laterChanges, undoLoads } from './index.ts'

const names = stagingNames(table)

let engine: Engine

/** Runs `body` on an empty image, in a transaction that is taken back. */
const scratch = (body: (tx: Transaction) => Promise<void>): Promise<void> =>
  scratchOn(engine, async tx => {
    await ensureImage(stageContext(tx), table)
    await body(tx)
  })

async function apply(tx: Transaction, load: bigint, changes: readonly Change[]): Promise<ChangeSet> {
  return (await applyChanges(stageContext(tx), await stageChanges(tx, load, changes))).changes
}

const imageOf = (tx: Transaction): Promise<readonly Row[]> =>
  tx.rows(sql`select id, label, note, "_load" as load, "_line" as line from ${names.image} order by id`)

const pastOf = (tx: Transaction): Promise<readonly Row[]> =>
  tx.rows(sql`
    select id, label, note, "_load" as load, "_line" as line, "_until" as until, "_op" as op
    from ${names.past} order by id, "_load", "_line"`)

async function netOf(tx: Transaction, { keys }: ChangeSet): Promise<Readonly<Record<number, string>>> {
  if (keys === null) return {}
  const rows = await tx.rows(sql`select id, "_op" as op from ${keys}`)
  return Object.fromEntries(rows.map(row => [row['id'] as number, String(row['op'])]))
}

/** A command of a story: what it does depends on which rows there are. */
interface Command {
  readonly kind: 'write' | 'delete' | 'move' | 'truncate' | 'cut'
  readonly id: number
  readonly to: number
  readonly label: Value
  readonly note: Value
}

const value = fc.constantFrom<Value>('a', 'b', '', null, undefined)
const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.constantFrom('write', 'write', 'write', 'delete', 'move', 'cut', 'truncate'),
  id: fc.integer({ min: 1, max: 5 }),
  to: fc.integer({ min: 1, max: 5 }),
  label: value,
  note: value,
})

/** Commands as changes that a source could make, in batches. */
function batchesOf(commands: readonly Command[]): readonly (readonly Change[])[] {
  const rows = new Set<number>()
  const batches: Change[][] = [[]]
  for (const { kind, id, to, label, note } of commands) {
    const batch = batches.at(-1) as Change[]
    if (kind === 'cut') {
      batches.push([])
    } else if (kind === 'truncate') {
      batch.push({ op: 'truncate', id: 0 })
      rows.clear()
    } else if (kind === 'write') {
      if (rows.has(id)) batch.push({ op: 'update', id, label, note })
      else batch.push({ op: 'insert', id, label: label ?? null, note: note ?? null })
      rows.add(id)
    } else if (rows.has(id) && (kind === 'delete' || rows.has(to) || to === id)) {
      batch.push({ op: 'delete', id })
      rows.delete(id)
    } else if (rows.has(id)) {
      batch.push({ op: 'delete', id }, { op: 'move', id: to, label, note })
      rows.delete(id)
      rows.add(to)
    }
  }
  return batches
}

/** What changed between two states of the model. */
function netBetween(before: Model['image'], after: Model['image']): Readonly<Record<number, string>> {
  const net: Record<number, string> = {}
  for (const [id, row] of after) {
    const old = before.get(id)
    if (old === undefined) net[id] = 'i'
    else if (old.label !== row.label || old.note !== row.note) net[id] = 'u'
  }
  for (const id of before.keys()) if (!after.has(id)) net[id] = 'd'
  return net
}

describe.each(stageEngines)('$kind', ({ kind, open }) => {
  beforeAll(async () => {
    engine = await open()
    await engine.transaction(never, async tx => {
      for (const statement of controlTables) await tx.execute(statement)
    })
  }, 180_000)
  afterAll(() => engine.close())

  test(
    'any story in any batches gives the image, the history and the net changes of the story',
    () =>
      fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 25 }), commands =>
          scratch(async tx => {
            const model = new Model()
            for (const [i, changes] of batchesOf(commands).entries()) {
              const before = new Map(model.image)
              model.apply(BigInt(i + 1), changes)
              const done = await apply(tx, BigInt(i + 1), changes)
              expect(await netOf(tx, done)).toEqual(netBetween(before, model.image))
              expect(await imageOf(tx)).toEqual([...model.image.values()].sort((a, b) => a.id - b.id))
            }
            const past = model.past.toSorted(
              (a, b) => a.id - b.id || Number(a.load - b.load) || Number(a.line - b.line),
            )
            expect(await pastOf(tx)).toEqual(past)
          }),
        ),
        { numRuns: kind === 'duckdb' ? 100 : 40 },
      ),
    240_000,
  )

  test('a key that ends as it began goes no further, and its versions are kept', () =>
    scratch(async tx => {
      await apply(tx, 1n, [{ op: 'insert', id: 1, label: 'a', note: null }])
      const back = await apply(tx, 2n, [
        { op: 'update', id: 1, label: 'b', note: null },
        { op: 'update', id: 1, label: 'a', note: null },
        { op: 'insert', id: 2, label: 'x', note: null },
        { op: 'delete', id: 2 },
      ])
      expect(back).toMatchObject({ keys: null, inserted: 0, updated: 0, deleted: 0 })
      expect((await pastOf(tx)).map(row => [row['id'], row['label'], row['op']])).toEqual([
        [1, 'a', 'u'],
        [1, 'b', 'u'],
        [2, 'x', 'd'],
      ])
    }))

  test('a delete of a key that is not there and an insert of one that is are absorbed', () =>
    scratch(async tx => {
      await apply(tx, 1n, [{ op: 'insert', id: 1, label: 'a', note: null }])
      const again = await apply(tx, 2n, [
        { op: 'delete', id: 7 },
        { op: 'insert', id: 1, label: 'a', note: null },
      ])
      expect(again.keys).toBeNull()
      expect((await imageOf(tx)).map(row => row['id'])).toEqual([1])
    }))

  test('an unchanged value of a row that is not here is a reject that names the row, and never NULL', () =>
    scratch(async tx => {
      const staged = await stageChanges(tx, 3n, [
        { op: 'update', id: 7, label: 'b' },
        { op: 'insert', id: 8, label: 'c', note: null },
      ])
      const { incomplete, changes } = await applyChanges(stageContext(tx), staged)
      expect({ incomplete, inserted: changes.inserted }).toEqual({ incomplete: 1, inserted: 1 })
      expect((await imageOf(tx)).map(row => row['id'])).toEqual([8])
      const rejects = await tx.rows(sql`select load, reason, row_key from naru.reject`)
      expect(rejects).toEqual([{ load: 3n, reason: 'CHANGE_INCOMPLETE', row_key: '{"id":"7"}' }])
    }))

  test('rows that nobody has seen yet get no history, and lose what waits for a change that is still to come', () =>
    scratch(async tx => {
      await apply(tx, 1n, [{ op: 'insert', id: 1, label: 'a', note: 'n' }])
      const staged = await stageChanges(tx, 1n, [
        { op: 'update', id: 9, label: 'b' },
        { op: 'update', id: 1, label: 'b' },
        { op: 'delete', id: 1 },
        { op: 'move', id: 2, label: 'c' },
      ])
      await applyChanges(stageContext(tx), { ...staged, past: null })
      expect((await imageOf(tx)).map(row => [row['id'], row['label'], row['note']])).toEqual([[2, 'c', 'n']])
      expect(await pastOf(tx)).toEqual([])
      expect(await tx.rows(sql`select * from naru.reject`)).toEqual([])
    }))

  test('a change without a key stops the load', () =>
    scratch(async tx => {
      const staged = await stageChanges(tx, 1n, [{ op: 'insert', id: 1, label: 'a', note: null }])
      await tx.execute(sql`update ${staged.changes} set id = null`)
      await expect(applyChanges(stageContext(tx), staged)).rejects.toMatchObject({ code: 'KEY_NOT_UNIQUE' })
    }))

  test('an undo of a load of changes gives the rows that were there before it', () =>
    scratch(async tx => {
      await apply(tx, 1n, [
        { op: 'insert', id: 1, label: 'a', note: 'n' },
        { op: 'insert', id: 2, label: 'b', note: null },
      ])
      const before = await imageOf(tx)
      await apply(tx, 2n, [
        { op: 'update', id: 1, label: 'b' },
        { op: 'update', id: 1, label: 'c' },
        { op: 'delete', id: 2 },
        { op: 'insert', id: 3, label: 'd', note: null },
        { op: 'update', id: 3, label: 'e' },
      ])
      expect(await laterChanges(tx, table, 2n)).toEqual({ loads: [], rows: 0 })
      await undoLoads(stageContext(tx), table, [2n])
      expect(await imageOf(tx)).toEqual(before)
      expect(await pastOf(tx)).toEqual([])
    }))
})
