/** A row that could not be taken: it becomes a row of `naru.reject`, with its reason. Never more than 64 kB of `content`. */
export interface RowReject {
  readonly reason:
    | 'VALUE_TOO_LARGE'
    | 'VALUE_NOT_IN_TYPE'
    /** Another row of the same read has its key, and stands for it. */
    | 'KEY_REPEATED'
    | 'LINE_TOO_LONG'
    | 'LINE_RAGGED'
    | 'LINE_NOT_TEXT'
    | 'LINE_QUOTE'
    | 'LINE_JSON'
    | 'LINE_FIELD_MISSING'
    | 'LINE_SHORT'
  /** What is wrong, and with which column. Never a value: it is shown where the rows of a table with personal data are not. */
  readonly detail: string
  /** Key of the row, when it could be read. */
  readonly key: Readonly<Record<string, string | null>> | null
  readonly line: number | null
  readonly bytes: number
  /** The start of the offending text or row. */
  readonly content: string
}
