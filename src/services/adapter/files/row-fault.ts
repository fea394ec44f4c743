/** A value that its column cannot hold: the row is rejected, the file goes on. */
export class RowFault extends Error {
  /** The value: apart from the message, which is shown where values of persons are not. */
  readonly value: string

  constructor(why: string, value: string | number | bigint = '') {
    super(why)
    this.value = String(value)
  }
}
