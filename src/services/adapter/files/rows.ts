import type { RowReject, SourceBatch } from '../contract.ts'
import { TextColumns } from './csv-columns.ts'
import type { Fields } from './csv-scan.ts'
import { contentChars } from './lines.ts'

/** Rejects of one batch. */
const rejectsMax = 1000

/** Rows and rejects of a file of text that are not handed on yet. */
export class TextRows {
  readonly #columns: TextColumns
  readonly #sources: Int32Array
  #rejects: RowReject[] = []

  /** Column `c` is field `c` of each record. */
  constructor(columns: number, nulls: readonly string[] = []) {
    this.#columns = new TextColumns(columns, nulls)
    this.#sources = Int32Array.from({ length: columns }, (_, i) => i)
  }

  /** True when no further row may be added before `take`. */
  get full(): boolean {
    return this.#columns.full || this.#rejects.length >= rejectsMax
  }

  /** True when there is nothing to take. */
  get empty(): boolean {
    return this.#columns.rows === 0 && this.#rejects.length === 0
  }

  add(bytes: Uint8Array, fields: Fields, line: number): void {
    this.#columns.add(bytes, fields, this.#sources, line)
  }

  reject(
    reason: RowReject['reason'],
    detail: string,
    at: { readonly line: number; readonly bytes: number; readonly content: string },
  ): void {
    this.#rejects.push({ reason, detail, key: null, ...at })
  }

  /** Rejects the bytes between `from` and `to`. */
  rejectBytes(
    reason: RowReject['reason'],
    detail: string,
    at: { readonly line: number; readonly bytes: Buffer; readonly from: number; readonly to: number },
  ): void {
    const content = at.bytes
      .toString('utf8', at.from, Math.min(at.to, at.from + contentChars * 4))
      .slice(0, contentChars)
    this.reject(reason, detail, { line: at.line, bytes: at.to - at.from, content })
  }

  take(): SourceBatch {
    const { batch, lines } = this.#columns.take()
    const rejects = this.#rejects
    this.#rejects = []
    return { batch, lines, rejects }
  }
}
