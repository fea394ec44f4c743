import type { Technique } from '../../config/change.ts'
import type { TableEvidence } from '../../services/adapter/contract-advice.ts'
import type { TechniqueGiven } from './techniques.ts'

const HOUR_MICROS = 3_600_000_000n

/** What a technique that goes by these columns costs the source on this table. */
export function costOf(technique: Technique, columns: readonly string[], given: TechniqueGiven): string {
  const { evidence, candidates } = given
  const rows = evidence?.rows ?? null
  const whole = `${rows === null ? 'all rows' : `about ${grouped(rows)} rows`}${sizeText(evidence)}`
  const rate = rateOf(given)
  const writes = rate === null ? 'every write' : `each of about ${grouped(rate)} writes an hour`
  switch (technique) {
    case 'full':
      return `${whole} with every read`
    case 'timestamp':
    case 'version':
    case 'combined': {
      const isCheap =
        columns.length > 0 && columns.every(name => candidates.find(it => it.column === name)?.makeIndex === null)
      const keys = technique === 'combined' ? whole : `the keys of ${whole}`
      if (evidence === undefined)
        return `the changed rows with every read, where an index finds them; a sweep reads ${keys}`
      const read = isCheap
        ? 'the changed rows with every read, by an index'
        : `${whole} with every read, unless there is an index`
      return `${read}; a sweep reads ${keys}`
    }
    case 'status':
      return `${writes} is followed by an update of ours, and waits while its row is claimed`
    case 'trigger':
      return `${writes} is written twice, in its own transaction: up to twice the time`
    case 'event':
      return `one more insert by the application for ${writes.replace(/^each of /, '')}`
    case 'log':
      return `nothing for the writers; the log is kept until it is read${logText(evidence, rate)}`
  }
}

/** Writes an hour since the source counts, for a source that says since when. */
function rateOf({ evidence, source, nowMicros }: TechniqueGiven): bigint | null {
  const counters = evidence?.counters
  if (counters == null || source?.countedSinceMicros == null) return null
  const micros = nowMicros - source.countedSinceMicros
  if (micros <= 0n) return null
  return ((counters.inserts + counters.updates + counters.deletes) * HOUR_MICROS) / micros
}

function logText(evidence: TableEvidence | undefined, rate: bigint | null): string {
  if (rate === null || evidence?.bytes == null || evidence.rows == null || evidence.rows === 0n) return ''
  return `: about ${bytesText((rate * evidence.bytes) / evidence.rows)} an hour of this table while nobody reads`
}

function sizeText(evidence: TableEvidence | undefined): string {
  return evidence?.bytes == null ? '' : ` (${bytesText(evidence.bytes)})`
}

function bytesText(bytes: bigint): string {
  const MiB = 1024 * 1024
  const value = Number(bytes)
  return value < MiB ? `${Math.ceil(value / 1024)} KiB` : `${grouped(BigInt(Math.ceil(value / MiB)))} MiB`
}

function grouped(value: bigint): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ',')
}
