import type { ChangeDef, SourceTableDef } from '../../config/model.ts'
import { cellText } from '../../core/cell-text.ts'
import type { ColumnData } from '../../core/batch.ts'
import type { ReadPlan, TablePosition } from '../../run/technique.ts'
import { versionsAfter } from '../../run/versions.ts'
import type { RowFilter, Snapshot, TableShape } from '../../services/adapter/contract.ts'
import { techniques } from '../techniques.ts'
import { TableCopy } from './copy.ts'

/** A technique that reads from time to time, with the copy that it keeps. */
export class CursorTrial {
  readonly change: ChangeDef
  readonly copy: TableCopy
  readonly #def: SourceTableDef
  readonly #shape: TableShape
  #position: TablePosition | null = null

  constructor(shape: TableShape & { readonly name: string }, source: string, change: ChangeDef) {
    // A sweep at the end would hide what is missed until the next one.
    this.change = 'deletes' in change ? { ...change, deletes: { kind: 'keep' } } : change
    this.#shape = shape
    this.#def = { ...shape, source, change: this.change }
    this.copy = new TableCopy(shape)
  }

  /** Reads what the technique would read now, exactly as a run plans it. */
  async poll(snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const { takenAtMicros, horizonMicros } = snapshot
    const plan = techniques[this.change.technique]?.(this.#def, { takenAtMicros, horizonMicros }, this.#position)
    if (plan === undefined) throw new TypeError(`${this.change.technique} does not read`)
    if (plan.scope === 'all') this.copy.clear()
    const names = this.#shape.columns.map(({ name }) => name)
    const place = plan.versions == null ? -1 : names.indexOf(plan.versions.column)
    let highest: bigint | null = null
    for await (const { batch } of snapshot.read(this.#shape, names, filterOf(plan), signal)) {
      this.copy.take(batch, names)
      const versions = place < 0 ? 0 : batch.rows
      for (let row = 0; row < versions; row++) {
        const type = this.#shape.columns[place]?.type
        const text = type === undefined ? null : cellText(type, batch.columns[place] as ColumnData, row)
        if (text !== null && (highest === null || BigInt(text) > highest)) highest = BigInt(text)
      }
    }
    const versions = plan.versions == null ? null : versionsAfter(plan.versions, highest)
    this.#position = { horizonMicros: plan.horizonMicros, sweptMicros: takenAtMicros, versions }
  }
}

function filterOf({ since, changed }: ReadPlan): RowFilter {
  return { ...(since === null ? {} : { since }), ...(changed == null ? {} : { changed }) }
}
