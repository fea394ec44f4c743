import { fail } from '../core/errors.ts'
import type { ColumnDef } from '../core/types.ts'
import type { Project, SourceTableDef } from '../config/model.ts'
import type { LoadRange } from '../run/loads.ts'

/**
 * The range of a backfill from what a person wrote: half-open, in the spelling in which the source and the engine compare
 * it. Times are in UTC where the column has a zone, and wall times as they stand where it has none. Throws `BACKFILL_RANGE`.
 */
export function backfillRange(
  project: Project,
  selectors: readonly string[],
  given: { readonly from: string | undefined; readonly to: string | undefined; readonly by: string | undefined },
): LoadRange {
  const tables = project.sources.flatMap(source => source.tables)
  const table = tables.find(it => `${it.source}.${it.name}` === selectors[0])
  const refuse = (problem: string): Error => fail('BACKFILL_RANGE', { table: selectors.join(', ') || 'a run', problem })
  if (selectors.length !== 1) throw refuse('it is of one table, written source.table')
  if (table === undefined) {
    const names = tables.map(it => `${it.source}.${it.name}`).join(', ')
    throw refuse(`there is no such table; the config has ${names}`)
  }
  const { from, to, by } = given
  if (from === undefined || to === undefined) throw refuse('a range has --from and --to')
  const column = columnOf(table, by)
  if (column === undefined) throw refuse(`there is no column ${by ?? 'to go by; name one with --by'}`)
  const [first, end] = [boundOf(column, from), boundOf(column, to)]
  for (const [text, bound] of [
    [from, first],
    [to, end],
  ]) {
    if (bound === null) throw refuse(`${JSON.stringify(text)} is no ${column.type.kind} that ${column.name} could hold`)
  }
  if (!isBefore(column, first as string, end as string)) throw refuse(`${from} is not before ${to}`)
  return { column: column.name, from: first as string, to: end as string }
}

/** The named column, that of the timestamp technique, or a key of one column. */
function columnOf({ change, columns, key }: SourceTableDef, by: string | undefined): ColumnDef | undefined {
  const own = change.technique === 'timestamp' ? change.column : key.length === 1 ? key[0] : undefined
  const column = columns.find(it => it.name === (by ?? own))
  return change.technique === 'files' ? undefined : column
}

const day = /^\d{4}-\d{2}-\d{2}$/
const moment = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(Z|\+00(?::?00)?)?)?$/

function boundOf({ type }: ColumnDef, text: string): string | null {
  switch (type.kind) {
    case 'int':
      return /^-?\d{1,18}$/.test(text) ? String(BigInt(text)) : null
    case 'date':
      return day.test(text) && isDate(text) ? text : null
    case 'timestamp': {
      const [, date = '', time = '00:00', zone] = moment.exec(text) ?? []
      if (!isDate(date) || (zone !== undefined && !type.zoned)) return null
      return `${date} ${time.length === 5 ? `${time}:00` : time}${type.zoned ? '+00' : ''}`
    }
    case 'text':
      return text
    default:
      return null
  }
}

function isDate(text: string): boolean {
  const ms = Date.parse(`${text}T00:00Z`)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text)
}

function isBefore({ type }: ColumnDef, a: string, b: string): boolean {
  return type.kind === 'int' ? BigInt(a) < BigInt(b) : a < b
}
