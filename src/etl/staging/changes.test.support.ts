import { changeOp } from '../../core/change-slice.ts'
import { joinSql, sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { openChanges } from '../../run/changes-table.ts'
import { stagingNames } from '../../run/tables.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { StagedChanges } from './apply-changes.ts'

/** A row of the test's table; `undefined` is a value that the source did not send. */
export type Value = string | null | undefined

/** A change as a source tells it. */
export interface Change {
  readonly op: keyof typeof changeOp
  readonly id: number
  readonly label?: Value
  readonly note?: Value
}

export const table: SourceTableDef = {
  source: 'shop',
  name: 'item',
  remote: 'item',
  columns: [
    { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
    { name: 'label', type: { kind: 'text' }, nullable: true, personal: false },
    { name: 'note', type: { kind: 'text' }, nullable: true, personal: false },
  ],
  key: ['id'],
  change: { technique: 'log' },
}

const names = stagingNames(table)

/** Puts changes into their table as the appender of a stream does. */
export async function stageChanges(tx: Transaction, load: bigint, changes: readonly Change[]): Promise<StagedChanges> {
  const into = await openChanges(tx, table)
  const open = new Set<string>()
  const rows = changes.map((change, i) => {
    const isRow = change.op !== 'delete' && change.op !== 'truncate'
    const isOpen = (name: 'label' | 'note'): boolean => isRow && change[name] === undefined
    for (const name of ['label', 'note'] as const) if (isOpen(name)) open.add(name)
    const mask = isOpen('label') || isOpen('note') ? `0${isOpen('label') ? 1 : 0}${isOpen('note') ? 1 : 0}` : null
    const id = change.op === 'truncate' ? null : change.id
    return sql`(${id}, ${change.label ?? null}, ${change.note ?? null}, ${changeOp[change.op]}, ${i + 1}, ${mask})`
  })
  if (rows.length > 0) await tx.execute(sql`insert into ${into} values ${joinSql(rows)}`)
  return {
    load,
    table,
    changes: into,
    image: names.image,
    past: names.past,
    unchanged: [...open],
    moves: changes.some(change => change.op === 'move'),
    truncates: changes.some(change => change.op === 'truncate'),
  }
}

/** What a row was, from the load that brought it on. */
interface Version {
  readonly id: number
  readonly label: string | null
  readonly note: string | null
  readonly load: bigint
  readonly line: bigint
}

export interface EndedVersion extends Version {
  readonly until: bigint
  readonly op: 'u' | 'd'
}

/** The law: what image and past are after changes, one change at a time. */
export class Model {
  readonly image = new Map<number, Version>()
  readonly past: EndedVersion[] = []

  apply(load: bigint, changes: readonly Change[]): void {
    let moved: Version | undefined
    for (const [i, change] of changes.entries()) {
      const old = change.op === 'move' ? moved : this.image.get(change.id)
      moved = change.op === 'delete' ? old : undefined
      if (change.op === 'truncate') {
        for (const id of this.image.keys()) this.end(id, load, 'd')
      } else if (change.op === 'delete') {
        this.end(change.id, load, 'd')
      } else {
        this.end(change.id, load, 'u')
        this.image.set(change.id, {
          id: change.id,
          label: change.label === undefined ? (old?.label ?? null) : change.label,
          note: change.note === undefined ? (old?.note ?? null) : change.note,
          load,
          line: BigInt(i + 1),
        })
      }
    }
  }

  private end(id: number, until: bigint, op: 'u' | 'd'): void {
    const old = this.image.get(id)
    if (old === undefined) return
    this.past.push({ ...old, until, op })
    this.image.delete(id)
  }
}
