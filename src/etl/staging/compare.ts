import { asText, hexText, jsonField } from '../../core/dialect-functions.ts'
import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { ColumnDef } from '../../core/types.ts'
import type { SourceTableDef } from '../../config/model.ts'
import type { DifferingKey } from '../../run/comparisons.ts'
import { rowsDiffer } from '../../run/differences.ts'
import { columnDefinitions, columnList, equalKeys, keyColumns, stagedName, stagingLayout } from '../../run/tables.ts'
import { commonOrderTypes, type KeyBound, type ReadsTables, type TableShape } from '../../services/adapter/contract.ts'
import type { Transaction } from '../../services/engine/contract.ts'

/** A range of keys: `after < key <= upTo`; `null` is open. */
export interface KeyRange {
  readonly after: KeyBound | null
  readonly upTo: KeyBound | null
}

/** Types whose order is the same at every source and in every engine, without being asked for. */
const sameOrder: ReadonlySet<ColumnDef['type']['kind']> = new Set(['int', 'decimal', 'date'])

/** Types whose text is the same in a reject and in the engine. */
const sameText: ReadonlySet<ColumnDef['type']['kind']> = new Set(['int', 'text', 'enum', 'uuid'])

/** An order of keys that a source and every engine have: the source's own, or the common one; `null` when there is none. */
export function sharedOrder(
  table: SourceTableDef,
  shape: TableShape,
  can: ReadsTables['can'],
): 'own' | 'common' | null {
  const key = keyColumns(table).map(({ type }, i) => ({
    kind: type.kind,
    isSame: shape.columns.some(column => column.name === shape.key[i] && column.type.kind === type.kind),
  }))
  if (key.every(({ kind, isSame }) => isSame && sameOrder.has(kind))) return 'own'
  const isCommon =
    can.commonOrder !== undefined && key.every(({ kind, isSame }) => isSame && commonOrderTypes.has(kind))
  return isCommon ? 'common' : null
}

/** True when a source looks through the whole table for each range of it, to put its keys into the common order. */
export function isSortedFor(table: SourceTableDef, { commonOrder }: ReadsTables['can']): boolean {
  const kinds = keyColumns(table).map(({ type }) => type.kind)
  if (commonOrder === undefined || !kinds.every(kind => commonOrderTypes.has(kind))) return false
  return kinds.some(kind => commonOrder.sorts.includes(kind))
}

/** The rows of a range in the engine, which is cut in an order that both ends have. */
export function rangeCondition(tx: Pick<Transaction, 'dialect'>, table: SourceTableDef, range: KeyRange): Sql {
  const { after, upTo } = range
  const key = keyColumns(table).map(column => ordered(tx, column))
  const beyond = (bound: KeyBound, i: number): Sql => {
    const part = key[i]
    if (part === undefined) return sql`false`
    const [own, of] = [part.value, part.bound(bound[i] as string)]
    return sql`(${own} > ${of} or (${own} = ${of} and ${beyond(bound, i + 1)}))`
  }
  const first = key[0] as Ordered
  // The first column alone again, so that parts of a large table can be passed over by it.
  const from =
    after === null ? sql`true` : sql`${first.value} >= ${first.bound(after[0] as string)} and ${beyond(after, 0)}`
  const to =
    upTo === null ? sql`true` : sql`${first.value} <= ${first.bound(upTo[0] as string)} and not ${beyond(upTo, 0)}`
  return sql`${from} and ${to}`
}

/** What a key column is compared by. */
interface Ordered {
  readonly value: Sql
  bound(text: string): Sql
}

/** A bound is spelled by its source: bytes as hexadecimal digits, a time in UTC with its zone or without. */
function ordered({ dialect }: Pick<Transaction, 'dialect'>, { name, type }: ColumnDef): Ordered {
  if (type.kind === 'bytes') {
    return { value: hexText(ident(name)), bound: text => sql`${text.replace(/^\\x/, '').toLowerCase()}` }
  }
  const isZoned = type.kind === 'timestamp' && type.zoned
  const isBare = (text: string): boolean => isZoned && /^\d/.test(text) && !/[+-]\d\d[:\d]*$/.test(text.slice(10))
  const spelled = (text: string): string => (isBare(text) ? `${text}+00` : text)
  return {
    value: sql`${ident(name)}`,
    bound: text => sql`cast(${spelled(text)} as ${rawSql(dialect.type(type))})`,
  }
}

/** Where the rows of the source are put beside the image to be compared. */
export function comparedName(table: SourceTableDef): Ident {
  return ident('staging', `${stagedName(table)}__compared`)
}

/** Makes an empty table for the source's rows of a range, in place of one that a crash left. */
export async function openCompared(tx: Transaction, table: SourceTableDef): Promise<Ident> {
  const name = comparedName(table)
  await closeCompared(tx, table)
  await tx.execute(sql`create table ${name} (${columnDefinitions(tx.dialect, stagingLayout(table))})`)
  return name
}

/** Removes what `openCompared` made. */
export async function closeCompared(tx: Transaction, table: SourceTableDef): Promise<void> {
  await tx.execute(sql`drop table if exists ${comparedName(table)}`)
}

/** What two ends are compared by. */
export interface ComparedRows {
  readonly table: SourceTableDef
  readonly image: Ident
  readonly compared: Ident
  /** Columns that are compared, without the key. */
  readonly columns: readonly string[]
  /** The rows of the image that the range has; `null` looks only for those that the source has. */
  readonly within: Sql | null
  /** Changes that one of the two may have and the other not: their keys are left out. */
  readonly touched: Ident | null
  /** Rows of the image that the source does not have are as they must be, or rows of the source that the image does not have. */
  readonly ignored: readonly DifferingKey['what'][]
}

/** Keys that are held of a comparison. */
export const DIFFERING_MAX = 1_000

/** What differs between the two ends. */
export interface Differing {
  /** First by key, at most `DIFFERING_MAX`. Keys of rows that were set aside are not among them: rejects tell of those. */
  readonly keys: readonly DifferingKey[]
  readonly rowsStaged: bigint | null
  /** Rows that were set aside and do not say which they are. */
  readonly unnamed: number
  /** Rows of the source with NULL in their key, which no staged row has. */
  readonly keyless: number
}

/** Finds the keys of a range whose rows differ. */
export async function findDiffering(tx: Transaction, it: ComparedRows): Promise<Differing> {
  const { table, image, compared, columns, touched, ignored } = it
  const keys = keyColumns(table)
  const names = keys.map(column => column.name)
  const all = columnList([...names, ...columns])
  const key = joinSql(names.map(name => sql`coalesce(${ident('c', name)}, ${ident('s', name)}) as ${ident(name)}`))
  const within = it.within ?? sql`true`
  const unnamed = await unnamedRejects(tx, table)
  const isKeyless = joinSql(
    names.map(name => sql`${ident(name)} is null`),
    ' or ',
  )
  const [none] = await tx.rows(sql`select count(*) as n from ${compared} where ${isKeyless}`)
  const kept = [
    sql`true`,
    ...(touched === null ? [] : [sql`not exists (select 1 from ${touched} t where ${equalKeys('t', 'd', names)})`]),
    ...(keys.every(isNamed) ? [notRejected(table)] : []),
    ...ignored.map(what => sql`d."_what" <> ${what}`),
  ]
  const texts = names.map((name, i) => sql`${asText(ident('d', name))} as ${ident(`k${i}`)}`)
  const rows = await tx.rows(sql`
    select ${joinSql(texts)}, d."_what" as what from (
      select ${key}, case when s."_here" is null then 'missing here' when c."_here" is null then 'not in the source'
        else 'different' end as "_what"
      from (select ${all}, true as "_here" from ${compared} where not (${isKeyless})) c
      ${rawSql(it.within === null ? 'left' : 'full')} join (select ${all}, true as "_here" from ${image} where ${within}) s
        on ${equalKeys('c', 's', names)}
      where c."_here" is null or s."_here" is null or ${rowsDiffer('c', 's', columns)}) d
    where ${joinSql(kept, ' and ')} order by ${columnList(names, 'd')} limit ${DIFFERING_MAX}`)
  const [count] = it.within === null ? [] : await tx.rows(sql`select count(*) as n from ${image} where ${within}`)
  return {
    keys: rows.map(row => ({
      key: names.map((_, i) => String(row[`k${i}`])).join(', '),
      what: row['what'] as DifferingKey['what'],
    })),
    rowsStaged: count === undefined ? null : BigInt(count['n'] as bigint),
    unnamed,
    keyless: Number(none?.['n']),
  }
}

function isNamed({ type }: ColumnDef): boolean {
  return sameText.has(type.kind)
}

function ofRejects(table: SourceTableDef): Sql {
  return sql`r.source = ${table.source} and r."table" = ${table.name}`
}

/** True for a key (alias `d`) of which no reject tells. */
function notRejected(table: SourceTableDef): Sql {
  const same = table.key.map(name => sql`${jsonField(ident('r', 'row_key'), name)} = ${asText(ident('d', name))}`)
  return sql`not exists (select 1 from (select row_key from naru.reject r
    where ${ofRejects(table)} and r.row_key is not null and r.row_key <> '***') r where ${joinSql(same, ' and ')})`
}

async function unnamedRejects(tx: Transaction, table: SourceTableDef): Promise<number> {
  const hidden = keyColumns(table).every(isNamed) ? sql`(r.row_key is null or r.row_key = '***')` : sql`true`
  const [row] = await tx.rows(sql`select count(*) as n from naru.reject r where ${ofRejects(table)} and ${hidden}`)
  return Number(row?.['n'])
}

/** Key values of persons are compared, never kept or shown. */
export function tellable(table: SourceTableDef, keys: readonly DifferingKey[]): readonly DifferingKey[] {
  const isPersonal = keyColumns(table).some(column => column.personal)
  return isPersonal ? keys.map(it => ({ ...it, key: '***' })) : keys
}
