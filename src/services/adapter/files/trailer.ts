import { isValid, type ColumnBatch } from '../../../core/batch.ts'
import { decimalText } from '../../../core/cell-text.ts'
import { fail } from '../../../core/errors.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { SourceBatch } from '../contract.ts'
import { LF } from './csv-scan.ts'

/** Bytes that a trailer line may have. */
const trailerBytesMax = 64 << 10

/** What a file says of itself in its last line, compared with what was read. */
export class Trailer {
  readonly #file: string
  readonly #pattern: RegExp
  readonly #sums: Map<number, { readonly column: string; total: Decimal | null }>
  #line: string | null = null
  #rows = 0

  constructor(file: string, pattern: string, columns: readonly ColumnDef[]) {
    this.#file = file
    this.#pattern = new RegExp(pattern)
    const summed = columns.map(({ name }, i) => [i, { column: name, total: zero }] as const)
    this.#sums = new Map(summed.filter(([, { column }]) => pattern.includes(`(?<${column}>`)))
  }

  /** The bytes of the file (UTF-8) without its last line that is not blank, which is kept back. */
  async *strip(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let held: Buffer = Buffer.alloc(0)
    for await (const chunk of chunks) {
      held = Buffer.concat([held, chunk])
      const start = startOfLastLine(held)
      if (start > 0) yield held.subarray(0, start)
      held = held.subarray(start)
      if (held.length > trailerBytesMax + chunk.length) throw this.#differs('its last line has no end')
    }
    this.#line = held.toString().trim()
  }

  /** Takes part of what was read into account. */
  add({ batch, rejects }: SourceBatch): void {
    this.#rows += batch.rows + rejects.length
    for (const [i, sum] of this.#sums) sum.total = sumOf(batch, i, sum.total)
  }

  /** Called when everything was read. Throws `FILE_TRAILER` for a line that is none, or whose figures differ. */
  check(): void {
    const groups = this.#pattern.exec(this.#line ?? '')?.groups
    if (groups === undefined) throw this.#differs(`its last line is ${JSON.stringify(this.#line?.slice(0, 100))}`)
    const said = groups['count'] ?? ''
    if (!/^\d+$/.test(said.trim()) || Number(said) !== this.#rows) {
      throw this.#differs(`that says ${said} rows, the file has ${this.#rows}`)
    }
    for (const { column, total } of this.#sums.values()) {
      const expected = decimalOf((groups[column] ?? '').trim())
      if (expected === null || total === null || !isSame(expected, total)) {
        const found = total === null ? 'not all numbers' : decimalText(total.units, total.scale)
        throw this.#differs(`that says ${groups[column] ?? ''} is the sum of ${column}, in the file it is ${found}`)
      }
    }
  }

  #differs(problem: string): Error {
    return fail('FILE_TRAILER', { file: this.#file, problem })
  }
}

/** Where the last line begins that is not blank. */
function startOfLastLine(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] as number) <= 32) end--
  return bytes.subarray(0, end).lastIndexOf(LF) + 1
}

/** An exact number: `units` of 10 to the power of `-scale`. */
interface Decimal {
  readonly units: bigint
  readonly scale: number
}

const zero: Decimal = { units: 0n, scale: 0 }

function decimalOf(text: string): Decimal | null {
  const match = /^([-+]?)(\d{1,100})(?:\.(\d{0,100}))?$/.exec(text)
  if (match === null) return null
  const [, sign, whole, part = ''] = match
  return { units: BigInt(`${sign === '-' ? '-' : ''}${whole}${part}`), scale: part.length }
}

function atScale({ units, scale }: Decimal, wanted: number): bigint {
  return units * 10n ** BigInt(wanted - scale)
}

function isSame(a: Decimal, b: Decimal): boolean {
  const scale = Math.max(a.scale, b.scale)
  return atScale(a, scale) === atScale(b, scale)
}

/** The sum of a text column so far; `null` once a value of it was no number. */
function sumOf(batch: ColumnBatch, index: number, before: Decimal | null): Decimal | null {
  const column = batch.columns[index]
  if (before === null || column?.layout !== 'bytes') return before
  let { units, scale } = before
  const data = Buffer.from(column.data.buffer, column.data.byteOffset, column.data.byteLength)
  for (let row = 0; row < batch.rows; row++) {
    if (!isValid(column.validity, row)) continue
    const value = decimalOf(data.toString('latin1', column.offsets[row], column.offsets[row + 1]).trim())
    if (value === null) return null
    const wanted = Math.max(scale, value.scale)
    units = atScale({ units, scale }, wanted) + atScale(value, wanted)
    scale = wanted
  }
  return { units, scale }
}
