import { durationMs, readOptions } from '../core/implementation.ts'
import type { SecretRef } from '../core/secret.ts'
import { http as adapter, type ChildDef, type EndpointDef, type PageDef } from '../services/adapter/http/index.ts'
import type { Duration, Polled } from './change.ts'
import { everyOf } from './change-def.ts'
import { keyList, type Columns, type InstantGroup, type NameOf, type NamesOfGroup, type OneOrMore } from './column.ts'
import { checkedName, checkedOptions } from './handle.ts'
import {
  dotted,
  listTables,
  pathsOf,
  readable,
  type AnyLists,
  type ColumnsByName,
  type KeysByName,
  type ListsByName,
  type SourceWithLists,
  type WithLists,
} from './json-list.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, SourceTableDef } from './model.ts'
import { sourceOf, tableDef } from './source.ts'

/**
 * How the next page is found: by its number, by the rows before it, by a cursor or an address in the answer, by the Link
 * header. Numbers and offsets end with an empty page. `size` asks for so many records at once.
 */
export type HttpPage = { readonly size?: { readonly param: string; readonly rows: number } } & (
  | { readonly by: 'number'; readonly param: string; readonly first?: 0 | 1 }
  | { readonly by: 'offset'; readonly param: string }
  | { readonly by: 'cursor'; readonly param: string; readonly at: string }
  | { readonly by: 'next'; readonly at: string }
  | { readonly by: 'link' }
)

/** Reads only what changed: the technique `timestamp`, with a parameter of the API. */
export interface HttpSince<N extends string> {
  /** The column that moves on with every change of a record. */
  readonly column: N
  /** The parameter of the query that takes a moment: `updated_since`. */
  readonly param: string
  /** How the moment is written; `iso` (`2026-11-01T12:00:00.000Z`) unless given. */
  readonly format?: 'iso' | 'iso-seconds' | 'date' | 'unix' | 'unix-ms'
  /** How late a record may become visible after its timestamp, and how far the clocks may differ. */
  readonly lag: Duration
  /** A parameter cannot show a delete: `keep` leaves such rows in place, `sweep` compares all keys that often. */
  readonly deletes: 'keep' | { readonly sweep: Duration }
}

/** One endpoint: a table. */
export interface HttpEndpoint<C extends Columns> {
  /** Follows the url of the source: `/orders`. */
  readonly path: string
  /** Parameters of every request. */
  readonly query?: { readonly [param: string]: string }
  /** Where the list of records stands in the answer: `'data.items'`; the answer is the list unless given. */
  readonly records?: string
  readonly columns: C
  readonly key: OneOrMore<NameOf<C>>
  /** Where a column's value stands in the record, when that is not its name: `'customer.address.city'`. */
  readonly at?: { readonly [N in keyof C]?: string }
  /** How the next page is found; the endpoint has one page unless given. */
  readonly page?: HttpPage
  /** Where the API says how many records there are: compared with those that came. */
  readonly total?: { readonly at: string } | { readonly header: string }
  readonly since?: HttpSince<NamesOfGroup<C, InstantGroup, 'a column with date and time: this endpoint has none'>>
}

type Endpoints<T extends ColumnsByName, K extends KeysByName, L extends ListsByName, M extends ListsByName> = {
  readonly [N in keyof T]: HttpEndpoint<T[N]>
} & { readonly [N in keyof K]: { readonly key: K[N] } } & WithLists<L, M>

export type HttpOptions = {
  /** Address that the paths of endpoints follow: `https://api.example.com/v2`. */
  readonly url: string
  /** Most requests that are sent in a second; 0, the default, is as fast as it goes. */
  readonly requestsPerSecond?: number
  /** Longest wait for a connection. */
  readonly connectTimeout?: Duration
  /** Longest wait for the head of an answer. */
  readonly answerTimeout?: Duration
  /** Longest wait for the whole of an answer behind its head. */
  readonly bodyTimeout?: Duration
  /** How often a request is sent again after a fault that may pass. */
  readonly retries?: number
  /** Longest wait before a request is sent again, whatever the API asks for. */
  readonly retryWaitMax?: Duration
  /** Largest answer that is taken, in bytes. */
  readonly maxPageBytes?: number
  /** Most pages of one endpoint. */
  readonly maxPages?: number
  /** Most records of one endpoint: the key of each is remembered while it is read. */
  readonly maxRecords?: number
  /** The name in `url` may lead to an address of a private network. */
  readonly privateNetwork?: boolean
  /** Most records that are read in a second; 0, the default, is as fast as it goes. */
  readonly rowsPerSecond?: number
  /** Hours of the day, in UTC, in which the API may be read: `'22:00-06:00'`. */
  readonly hours?: `${number}:${number}-${number}:${number}`
  /** Largest record that is taken, in bytes; a larger one is set aside. */
  readonly maxValueBytes?: number
} & (
  | {
      /** Sent as `authorization: Bearer …`. */
      readonly token?: SecretRef
      readonly user?: never
      readonly password?: never
      readonly header?: never
      readonly key?: never
    }
  | {
      /** User of basic authentication. */
      readonly user: string
      readonly password: SecretRef
      readonly token?: never
      readonly header?: never
      readonly key?: never
    }
  | {
      /** Name of the header that `key` is sent in: `x-api-key`. */
      readonly header: string
      readonly key: SecretRef
      readonly token?: never
      readonly user?: never
      readonly password?: never
    }
)

/** A JSON API: each endpoint is a table, and so is each list within its records that is named. */
export function http<
  const S extends string,
  T extends ColumnsByName,
  const K extends KeysByName,
  L extends ListsByName,
  const M extends ListsByName,
>(
  name: S,
  options: HttpOptions & Polled & { readonly endpoints: Endpoints<T, K, L, M> },
): SourceWithLists<S, T, K, L, M> {
  checkedName('source', name)
  const { endpoints, every, ...rest } = options
  const defs = Object.entries(endpoints as unknown as Readonly<Record<string, AnyEndpoint>>).map(([endpoint, given]) =>
    endpointTables(name, endpoint, given),
  )
  const data = Object.fromEntries(defs.map(({ endpoint, def }) => [endpoint, def]))
  readOptions(adapter.options, { ...rest, endpoints: data }, `source "${name}"`)
  checkAccess(name, rest)
  const tables = defs.flatMap(it => it.tables)
  return sourceOf({
    name,
    adapter: adapter.kind,
    options: { ...rest, endpoints: data },
    tables,
    ...everyOf(name, every),
  })
}

type AnyEndpoint = HttpEndpoint<Columns> & {
  readonly since?: HttpSince<string>
  readonly children?: AnyLists
}

const endpointOptions = ['path', 'query', 'records', 'columns', 'key', 'at', 'page', 'total', 'since', 'children']
const sinceFormats = ['iso', 'iso-seconds', 'date', 'unix', 'unix-ms']

function endpointTables(
  source: string,
  endpoint: string,
  given: AnyEndpoint,
): { readonly endpoint: string; readonly def: EndpointDef; readonly tables: readonly SourceTableDef[] } {
  const where = `table ${source}.${endpoint}`
  checkedOptions(where, given, endpointOptions)
  const { columns } = given
  const key = keyList(given.key)
  const change = changeOf(where, given)
  const records = { name: endpoint, columns, key, at: given.at ?? {} }
  const lists = listTables(source, records, given.children).map(it => listTable(source, endpoint, it))
  const def: EndpointDef = {
    path: given.path,
    query: { ...given.query, ...sizeOf(given.page) },
    records: dotted(given.records ?? ''),
    columns: readable(where, columns),
    key,
    at: pathsOf(where, columns, given.at ?? {}),
    page: pageOf(where, given.page),
    total: given.total === undefined ? null : 'at' in given.total ? { at: dotted(given.total.at) } : given.total,
    since: given.since === undefined ? null : { param: given.since.param, format: given.since.format ?? 'iso' },
    children: Object.fromEntries(lists.map(({ list, def }) => [list, def])),
  }
  const table = tableDef(source, endpoint, { remote: endpoint, columns, key, change })
  return { endpoint, def, tables: [table, ...lists.map(it => it.table)] }
}

function listTable(
  source: string,
  endpoint: string,
  { list, name, columns, def }: ReturnType<typeof listTables>[number],
): { readonly list: string; readonly def: ChildDef; readonly table: SourceTableDef } {
  const remote = `${endpoint}.${list}`
  return {
    list,
    def: { ...def, columns: readable(`table ${source}.${name}`, columns) },
    table: tableDef(source, name, { remote, columns, key: def.key, change: { technique: 'full' } }),
  }
}

function pageOf(where: string, page: HttpPage | undefined): PageDef {
  if (page === undefined) return { by: 'none' }
  switch (page.by) {
    case 'number':
      return { by: 'number', param: page.param, first: page.first ?? 1 }
    case 'offset':
      return { by: 'offset', param: page.param }
    case 'cursor':
      return { by: 'cursor', param: page.param, at: dotted(page.at) }
    case 'next':
      return { by: 'next', at: dotted(page.at) }
    case 'link':
      return { by: 'link' }
    default:
      throw mistake(`${where}: pages are found by number, offset, cursor, next or link`)
  }
}

function sizeOf(page: HttpPage | undefined): Readonly<Record<string, string>> {
  return page?.size === undefined ? {} : { [page.size.param]: String(page.size.rows) }
}

function changeOf(where: string, { since, columns }: AnyEndpoint): ChangeDef {
  if (since === undefined) return { technique: 'full' }
  checkedOptions(`${where}, since`, since, ['column', 'param', 'format', 'lag', 'deletes'])
  if (columns[since.column]?.type.kind !== 'timestamp') {
    throw mistake(`${where}: since needs a column with date and time; "${since.column}" is none`)
  }
  if (since.format !== undefined && !sinceFormats.includes(since.format)) {
    throw mistake(`${where}: since is written as ${sinceFormats.join(', ')}, not "${String(since.format)}"`)
  }
  const lagMs = durationMs(String(since.lag))
  if (lagMs === null) throw mistake(`${where}: since needs a lag such as '10m', the longest that a change may be late`)
  const { deletes } = since
  if (deletes === 'keep') return { technique: 'timestamp', column: since.column, lagMs, deletes: { kind: 'keep' } }
  const everyMs = typeof deletes === 'object' ? durationMs(String(deletes.sweep)) : null
  if (everyMs === null) throw mistake(`${where}: a parameter shows no delete; say deletes: 'keep' or { sweep: '1d' }`)
  return { technique: 'timestamp', column: since.column, lagMs, deletes: { kind: 'sweep', everyMs } }
}

/** One way to be let in, and none over a wire that everybody reads. */
function checkAccess(
  source: string,
  given: { readonly url: string; readonly privateNetwork?: boolean } & {
    readonly [N in 'token' | 'password' | 'key']?: SecretRef
  },
): void {
  const ways = [given.token, given.password, given.key].filter(way => way !== undefined)
  const isNear = given.privateNetwork === true || /^http:\/\/(localhost|[\d.]+|\[[^\]]*\])(:|\/|$)/.test(given.url)
  if (ways.length > 0 && given.url.startsWith('http:') && !isNear) {
    throw mistake(`source "${source}" would send its secret unencrypted: its url must begin with https://`)
  }
  if (ways.length > 1) throw mistake(`source "${source}" takes a token, or user and password, or header and key`)
}
