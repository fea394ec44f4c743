import { fail } from '../../../core/errors.ts'

/** What a file may be at most: the options of the source, and limits that nobody needs to raise. */
export interface FileLimits {
  readonly maxLineBytes: number
  readonly maxValueBytes: number
  readonly maxExpansion: number
  readonly maxRows: number
  readonly maxColumns: number
  readonly maxDepth: number
  readonly maxElements: number
}

/** A file may always grow to this much, whatever its size: small files of the same words pack very well. */
const expandedBytesFree = 64 << 20

/** Members of an archive. */
export const membersMax = 10_000

/** Counts bytes that come out of a packed file; throws `FILE_LIMIT` when they are too many for its size. */
export function expansionLimit(file: string, packedBytes: number, limits: FileLimits): (bytes: number) => void {
  const most = Math.max(expandedBytesFree, packedBytes * limits.maxExpansion)
  let total = 0
  return bytes => {
    total += bytes
    if (total <= most) return
    const limit = `${limits.maxExpansion} times its ${packedBytes}`
    throw fail('FILE_LIMIT', { file, what: 'bytes when it is unpacked', limit, option: 'maxExpansion' })
  }
}

/** Counts rows and rejects; throws `FILE_LIMIT` when a file has too many. */
export function rowLimit(file: string, limits: FileLimits): (rows: number) => void {
  let total = 0
  return rows => {
    total += rows
    if (total > limits.maxRows) {
      throw fail('FILE_LIMIT', { file, what: 'rows', limit: String(limits.maxRows), option: 'maxRows' })
    }
  }
}

/** Throws `FILE_LIMIT` for a file with more columns than are taken. */
export function checkColumnCount(file: string, columns: number, limits: Pick<FileLimits, 'maxColumns'>): void {
  if (columns <= limits.maxColumns) return
  throw fail('FILE_LIMIT', { file, what: 'columns', limit: String(limits.maxColumns), option: 'maxColumns' })
}
