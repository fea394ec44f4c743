/** What tells that a column has other values though no row of its table changed. */
export interface ColumnForm {
  /** A column that is dropped and made anew gets another one. */
  readonly number: number | string
  /** The transaction that altered it last. */
  readonly altered: string
  /** The file of the rows of its table. */
  readonly file: string
}

/** Why a column of the same name and type has other values, though the source told of no change; `null` when it has not. */
export function writtenAnew(name: string, was: ColumnForm, is: ColumnForm): string | null {
  if (was.number !== is.number) return `column "${name}" was dropped and made anew`
  // A table that is only packed anew gets another file as well, and no column of it is altered.
  if (was.altered === is.altered || was.file === is.file) return null
  return `the values of column "${name}" were written anew`
}
