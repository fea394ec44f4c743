import { isUtf8 } from 'node:buffer'

const replacement = Buffer.from('\ufffd')

/** What is asked of a file of text. */
export interface TextShape {
  /** Its name, for messages. */
  readonly file: string
  readonly columns: readonly { readonly name: string; readonly nullable: boolean }[]
  readonly encoding: string
  readonly maxLineBytes: number
}

/** Why bytes are no text that can be staged; `null` when they are. `transcoded` bytes have U+FFFD where they were none. */
export function problemOfText(bytes: Buffer, encoding: string, transcoded: boolean): string | null {
  if (!isUtf8(bytes)) return `it is not text in ${encoding}`
  if (bytes.includes(0)) return 'it holds a NUL character'
  if (transcoded && bytes.includes(replacement)) return `it is not text in ${encoding}`
  return null
}
