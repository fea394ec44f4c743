import { option } from '../../core/implementation.ts'

/** The option of every adapter that reads tables; it tells the loader through `ReadsTables.chunkRows`. */
export const chunkRows = option.int(
  'Rows of a first load that are read and committed together: what a broken load repeats.',
  { default: 250_000, min: 1 },
)
