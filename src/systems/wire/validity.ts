/** The bits of a column that say which rows have a value. */
export interface Validity {
  setNull(row: number): void
  /** Forgets what is known of row `at` and after it. */
  cut(at: number): void
  finish(rows: number): Uint8Array | null
}

/** All rows are valid until one is set NULL: most columns never need the bits. */
export function newValidity(capacity: number): Validity {
  let bits: Uint8Array | null = null
  return {
    setNull: row => {
      bits ??= new Uint8Array((capacity + 7) >> 3).fill(0xff)
      bits[row >> 3] = (bits[row >> 3] as number) & ~(1 << (row & 7))
    },
    cut: at => {
      if (bits === null) return
      for (let row = at; row & 7; row++) bits[row >> 3] = (bits[row >> 3] as number) | (1 << (row & 7))
      bits.fill(0xff, (at + 7) >> 3)
    },
    finish: rows => bits?.subarray(0, (rows + 7) >> 3) ?? null,
  }
}
