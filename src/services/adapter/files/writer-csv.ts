import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { WrittenFile } from '../contract-writes.ts'

/** Values of one column that a format has no place for. */
export interface Misfits {
  readonly name: string
  /** True for such a value. */
  readonly unfit: Sql
  readonly problem: string
}

/** Gives what is wrong with the target, as an error. */
export type Refuse = (problem: string) => Error

/** How CSV is written. */
export interface CsvWriting {
  readonly delimiter: string
  /** `null`: without quotes. */
  readonly quote: string | null
  /** The quote itself where it stands twice. */
  readonly escape: string | null
  readonly nullText: string
  readonly header: boolean
}

/** What is asked of CSV, with what nothing was said of. What could not be read back exactly is refused. */
export function csvOf(
  { delimiter: asked, quote: mark = '"', escape: before, nullText = '', header = true }: WrittenFile,
  ending: 'csv' | 'tsv',
  columns: readonly ColumnDef[],
  refuse: Refuse,
): CsvWriting {
  const delimiter = asked ?? (ending === 'tsv' ? '\t' : ',')
  const quote = mark === 'none' ? null : mark
  const escape = before ?? quote
  for (const [name, value] of Object.entries({ delimiter, quote, escape })) {
    if (value !== null && !/^[^\r\n\0\u0080-\uffff]$/.test(value)) {
      throw refuse(`--${name} is one ASCII character other than a line end, not ${JSON.stringify(value)}`)
    }
  }
  if (delimiter === quote) throw refuse('--delimiter and --quote are the same')
  const csv = { delimiter, quote, escape, nullText, header }
  if (escape !== quote) assertEscape(csv, columns, refuse)
  // U+FEFF at the start of a file is a mark of its encoding.
  const odd = needingQuotes(csv).find(it => nullText.includes(it)) ?? ['\0', '\ufeff'].find(it => nullText.includes(it))
  if (odd !== undefined)
    throw refuse(`--null-text stands without quotes, so that ${JSON.stringify(odd)} cannot be in it`)
  const unnamed = columns.find(({ name }) => quote === null && needingQuotes(csv).some(it => name.includes(it)))
  if (header && unnamed !== undefined)
    throw refuse(`without quotes the header cannot name the column "${unnamed.name}"`)
  return csv
}

/** Readers take an escape before a letter or a digit for something else (`\\n`), and have various minds about a header. */
function assertEscape(
  { delimiter, quote, escape, header }: CsvWriting,
  columns: readonly ColumnDef[],
  refuse: Refuse,
): void {
  if (quote === null) throw refuse('--escape stands within quotes, and there are none')
  if (escape === delimiter) throw refuse('--delimiter and --escape are the same')
  if (/[0-9a-z]/i.test(`${quote}${escape}`)) throw refuse('--escape and --quote are neither letters nor digits')
  const odd = columns.find(({ name }) => header && [quote, escape].some(it => it !== null && name.includes(it)))
  if (odd !== undefined) throw refuse(`the header cannot name the column "${odd.name}": a name has no escapes`)
}

/** What makes quotes around a value necessary. */
function needingQuotes({ delimiter, quote, escape }: CsvWriting): readonly string[] {
  return [delimiter, '\n', '\r', ...[quote, escape].filter(it => it !== null)]
}

const isText = ({ type }: ColumnDef): boolean => type.kind === 'text' || type.kind === 'enum' || type.kind === 'json'

/** The options of DuckDB's COPY. */
export function csvOptions(csv: CsvWriting, columns: readonly ColumnDef[]): Sql {
  const { delimiter, quote, escape, nullText, header } = csv
  const options = sql`format csv, header ${header ? 'true' : 'false'}, delimiter ${delimiter}, nullstr ${nullText}`
  if (quote === null) return sql`${options}, quote '', escape ''`
  // Beside another text for NULL empty text stands in quotes, which alone tell readers that it is one; and so does what
  // would begin the file with a mark of its encoding. Escapes stand within quotes only.
  const always = columns.filter(
    (column, i) => escape !== quote || (isText(column) && (nullText !== '' || (!header && i === 0))),
  )
  const forced = sql`, force_quote (${joinSql(always.map(({ name }) => sql`${ident(name)}`))})`
  return sql`${options}, quote ${quote}, escape ${escape}${always.length === 0 ? sql`` : forced}`
}

/** Values that stand in no line, or without quotes would be read as others. */
export function csvMisfits(columns: readonly ColumnDef[], csv: CsvWriting): readonly Misfits[] {
  const { quote, nullText, header } = csv
  const [only, another] = columns
  const found: Misfits[] = []
  if (only !== undefined && another === undefined && nullText === '') {
    const problem = 'NULL in the only column is a line without a byte, which is no row of CSV'
    found.push({ name: only.name, unfit: sql`${ident(only.name)} is null`, problem })
  }
  if (quote !== null) return found
  const bare = columns.map(({ name, type }, i): Misfits => {
    const text = type.kind === 'bytes' ? sql`'\\x' || lower(hex(${ident(name)}))` : sql`cast(${ident(name)} as varchar)`
    const holds = needingQuotes(csv).map(it => sql`contains(${text}, ${it})`)
    const mark = !header && i === 0 ? [sql`starts_with(${text}, ${'\ufeff'})`] : []
    const unfit = joinSql([...holds, ...mark, sql`${text} in ('', ${nullText})`], ' or ')
    return { name, unfit, problem: 'without quotes it would be read as another, or as NULL' }
  })
  return [...found, ...bare]
}
