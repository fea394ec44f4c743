/** A value that its column cannot hold: the row is rejected, the file goes on. */
export class RowFault extends Error {}
