/** A list within each JSON record: its elements are the rows of a table of their own. */
export interface JsonList {
  /** Names of members on the way from the record to the list. */
  readonly list: readonly string[]
  /** Columns that hold the key of the record, and their way from it. */
  readonly parent: Readonly<Record<string, readonly string[]>>
  /** The column that counts the elements from 0, when they have no key of their own. */
  readonly position: string | null
  /** The whole key of an element: the columns of `parent`, then its own or `position`. */
  readonly key: readonly string[]
  /** Names of members on the way from the element to each column's value, where that is not the column's name. */
  readonly at: Readonly<Record<string, readonly string[]>>
}
