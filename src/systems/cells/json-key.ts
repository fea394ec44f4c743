import { sha256 } from '../../core/env.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { Value } from './batches.ts'
import { parseCell } from './parse.ts'

/** A longer key is remembered by its hash. */
const keyLengthMax = 64

/** The columns of a key in its order. */
export function keyColumnsOf(key: readonly string[], columns: readonly ColumnDef[]): readonly ColumnDef[] {
  return key.flatMap(name => columns.filter(column => column.name === name))
}

/** A key as one text, equal for equal values however they are spelled; `null` where a part is missing or misfits. */
export function keyText(columns: readonly ColumnDef[], values: readonly Value[]): string | null {
  let text = ''
  for (const [i, { type }] of columns.entries()) {
    const value = values[i] ?? null
    if (value === null || 'misfit' in value) return null
    const cell = 'cell' in value ? value.cell : parseCell(type, value.text)
    if (typeof cell === 'string') return null
    const part = cell instanceof Uint8Array ? Buffer.from(cell).toString('latin1') : String(cell)
    text += `${part.length}:${part}`
  }
  return text.length > keyLengthMax ? sha256(text) : text
}
