import type { FieldDef } from 'pg'
import type { Cell } from '../contract.ts'

/** How the text of a value becomes a cell, by the type's number. Everything that JavaScript cannot hold exactly is text. */
const readers: Readonly<Record<number, (text: string) => Cell>> = {
  16: text => text === 't',
  20: BigInt,
  21: Number,
  23: Number,
  700: text => Math.fround(Number(text)),
  701: Number,
  1000: text => listOf(text, it => it === 't'),
  1009: text => listOf(text, it => it),
  1015: text => listOf(text, it => it),
  1016: text => listOf(text, BigInt),
  1007: text => listOf(text, Number),
}

/** A value of a small result. */
export function cellOf(text: string | null, { dataTypeID }: FieldDef): Cell {
  if (text === null) return null
  const read = readers[dataTypeID]
  return read === undefined ? text : read(text)
}

/** The elements of an array of one dimension, as the server prints it. */
function listOf(text: string, read: (text: string) => Cell): Cell {
  const cells: Cell[] = []
  const element = /(?:"((?:[^"\\]|\\.)*)"|([^,{}"]+))(?=[,}])/gs
  for (const [, quoted, bare] of text.matchAll(element)) {
    if (quoted !== undefined) cells.push(read(quoted.replaceAll(/\\(.)/gs, '$1')))
    else cells.push(bare === 'NULL' ? null : read(bare as string))
  }
  return cells
}
