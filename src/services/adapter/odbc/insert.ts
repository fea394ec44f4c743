import type { ColumnBatch } from '../../../core/batch.ts'
import type { Handles } from './handles.ts'
import type { ReadColumn } from './messages.ts'

/** The driver or the system refuses a value. */
export class ValueRefused extends Error {
  readonly state: string
  readonly column: string
  readonly row: number

  constructor(problem: string, at: { readonly state: string; readonly column: string; readonly row: number }) {
    super(problem)
    this.state = at.state
    this.column = at.column
    this.row = at.row
  }
}

/** A prepared INSERT that takes batches. */
export class Inserter {
  static async prepare(
    _handles: Handles,
    _order: { readonly text: string; readonly columns: readonly ReadColumn[] },
    _answerMs: number,
  ): Promise<Inserter> {
    return new Inserter()
  }
  async insert(_batch: ColumnBatch): Promise<void> {}
  close(): void {}
}
