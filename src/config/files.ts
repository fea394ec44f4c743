import { readOptions } from '../core/implementation.ts'
import type { SecretRef } from '../core/secret.ts'
import { files as adapter } from '../services/adapter/files/index.ts'
import type { Duration, Polled } from './change.ts'
import { everyOf } from './change-def.ts'
import { keyList, type Columns, type NameOf, type OneOrMore } from './column.ts'
import { assertContracts, contractOf, type Contract, type Contracts } from './contract.ts'
import { formatOf, partitionsOf, type FileFormat } from './file-format.ts'
import { checkedName, checkedOptions } from './handle.ts'
import {
  listTables,
  readable,
  type AnyLists,
  type ColumnsByName,
  type KeysByName,
  type ListsByName,
  type SourceWithLists,
  type WithLists,
} from './json-list.ts'
import { mistake } from './mistake.ts'
import { defaultFileContract, type ChangeDef, type SourceTableDef } from './model.ts'
import { sourceOf, tableDef } from './source.ts'

/** One table of a files source: all files that match `glob`. */
export interface FileTable<C extends Columns> {
  /** Pattern of names: `orders_*.csv`, `orders/dt=*` and so on below the folder; `**` alone is any number of folders. */
  readonly glob: string
  readonly columns: C
  readonly key: OneOrMore<NameOf<C>>
  /** `full`: each file is the whole table. `delta`: each file adds and replaces rows by key. */
  readonly scope: 'full' | 'delta'
  /** How the rows are written: told from the ending of `glob` unless given, and `csv` otherwise. */
  readonly format?: FileFormat<NameOf<NoInfer<C>>>
  readonly encoding?: string
  /** A file is taken only together with its side-car, and only when the sums agree. */
  readonly checksum?: 'md5-sidecar' | 'sha256-sidecar'
  /** A file is taken only together with this marker: `*.done` is one beside each file, `_SUCCESS` one in each folder. */
  readonly done?: string
  /** Pattern of the names inside a zip archive that are read; all unless given. */
  readonly members?: string
  /**
   * What the last line looks like when it is no row: the group `count` is the number of rows, a group named as a column
   * the sum of that column. A file that does not agree is not taken: `/^T;(?<count>\d+);(?<amount>[\d.]+)$/`.
   */
  readonly trailer?: RegExp
}

type FileTables<T extends ColumnsByName, K extends KeysByName, L extends ListsByName, M extends ListsByName> = {
  readonly [N in keyof T]: FileTable<T[N]>
} & { readonly [N in keyof K]: { readonly key: K[N] } } & WithLists<L, M>

export type FilesOptions = {
  /** Longest wait for an answer of the server, and for the next bytes of a transfer. */
  readonly timeout?: Duration
  /** How long a file without a side-car must not have changed before it is taken. */
  readonly settle?: Duration
  /** Longest line, or JSON object, in bytes; a longer one is set aside. 1 MiB unless given. */
  readonly maxLineBytes?: number
  /** Largest value of Parquet and Avro, in bytes; a row with a larger one is set aside. 64 MiB unless given. */
  readonly maxValueBytes?: number
  /** How many times its size a file may grow when it is unpacked; 200 unless given. 64 MiB are always allowed. */
  readonly maxExpansion?: number
  /** Most rows of a file; 1,000,000,000 unless given. */
  readonly maxRows?: number
  /** Most columns of a file; 10,000 unless given. */
  readonly maxColumns?: number
  /** How deep JSON and Avro values may be nested; 100 unless given. */
  readonly maxDepth?: number
  /** Most elements of the lists and maps of one row; 100,000 unless given. */
  readonly maxElements?: number
  /** FTPS and S3: certificates of the server's authority, PEM, as `file('ca.pem')`; those of Node when left out. */
  readonly ca?: SecretRef
  /** FTP: encoding of file names on a server without UTF-8, such as `cp949`. */
  readonly nameEncoding?: string
  /** SFTP: private key of the user, as `file('id_ed25519')`, instead of a password in the address. */
  readonly privateKey?: SecretRef
  /** SFTP: passphrase of the private key. */
  readonly passphrase?: SecretRef
  /** SFTP: fingerprint of the server's key, unless it stands in `~/.ssh/known_hosts`; several with commas. */
  readonly hostKey?: `SHA256:${string}`
  /** S3: address of a compatible store, `https://store.example.com:9000`; Amazon when left out. */
  readonly endpoint?: `http://${string}` | `https://${string}`
  /** S3: region of the bucket; that of the environment or us-east-1 when left out. */
  readonly region?: string
  /** S3: with `endpoint`, the bucket is part of the path and not of the host name; true unless given. */
  readonly pathStyle?: boolean
  /** S3: access key, with `secretAccessKey`. Without, the chain of the AWS tools: variables, profile, role. */
  readonly accessKeyId?: SecretRef
  /** S3: secret of the access key. */
  readonly secretAccessKey?: SecretRef
  /** S3: token of a temporary access key. */
  readonly sessionToken?: SecretRef
} & (
  | {
      /**
       * A folder elsewhere, as `env('NAME')`: `ftp://user:password@host:port/folder`, `ftps://…`,
       * `sftp://user:password@host:port/folder`, `s3://bucket/folder`.
       */
      readonly url: SecretRef
      readonly folder?: never
    }
  | {
      /** A folder of this machine, absolute or from the folder of the configuration. */
      readonly folder: string
      readonly url?: never
    }
)

/** A folder that somebody drops files into. Lists within objects of JSON that are named in `children` are tables, too. */
export function files<
  const S extends string,
  T extends ColumnsByName,
  const K extends KeysByName,
  L extends ListsByName,
  const M extends ListsByName,
>(
  name: S,
  options: FilesOptions &
    Polled & {
      readonly tables: FileTables<T, K, L, M>
      /** What becomes of a file whose columns are others than the table's: one contract for all tables, or by table. */
      readonly contract?: Contract | Contracts<NoInfer<keyof T & string>>
    },
): SourceWithLists<S, T, K, L, M> {
  checkedName('source', name)
  const { tables, contract: contracts, every, ...rest } = options
  const contract = contracts as Contract | Contracts<string> | undefined
  assertContracts(name, Object.keys(tables), contract)
  const defs = Object.entries(tables as { readonly [name: string]: AnyFileTable }).flatMap(([table, given]) => {
    const where = `table ${name}.${table}`
    checkedOptions(where, given, [
      'glob',
      'columns',
      'key',
      'scope',
      'encoding',
      'checksum',
      'done',
      'format',
      'members',
      'trailer',
      'children',
    ])
    assertPlaces(where, given)
    assertNamed(where, given, contract, table)
    const change: FilesChange = {
      technique: 'files',
      scope: given.scope,
      format: formatOf(where, given.format, given.glob),
      encoding: given.encoding ?? 'utf-8',
      checksum: given.checksum ?? 'none',
      ...(given.done === undefined ? {} : { done: given.done }),
      ...(given.members === undefined ? {} : { members: given.members }),
      ...(given.trailer === undefined ? {} : { trailer: trailerOf(where, given.trailer, given.columns) }),
    }
    const lists = listsOf(name, table, given, change)
    const passed = lists.map(it => it.first).filter(member => !Object.hasOwn(given.columns, member))
    const records = tableDef(name, table, {
      remote: given.glob,
      columns: given.columns,
      key: keyList(given.key),
      change: { ...change, ...(passed.length === 0 ? {} : { passed }) },
      contract: contractOf(where, contract, table, defaultFileContract),
    })
    return [records, ...lists.map(it => it.table)]
  })
  readOptions(adapter.options, rest, `source "${name}"`)
  if ((rest.url === undefined) === (rest.folder === undefined))
    throw mistake(`source "${name}" takes a url or a folder`)
  return sourceOf({ name, adapter: adapter.kind, options: rest, tables: defs, ...everyOf(name, every) })
}

type AnyFileTable = FileTable<Columns> & { readonly children?: AnyLists }
type FilesChange = Extract<ChangeDef, { technique: 'files' }>

/** The tables of lists: each is a table over the same files, whose format says which list it takes. */
function listsOf(
  source: string,
  table: string,
  { glob, key, columns, children }: AnyFileTable,
  change: FilesChange,
): readonly { readonly first: string; readonly table: SourceTableDef }[] {
  const { format } = change
  return listTables(source, { name: table, columns, key: keyList(key), at: {} }, children).map(it => {
    const where = `table ${source}.${it.name}`
    if (format.kind !== 'ndjson' && format.kind !== 'json')
      throw mistake(`${where}: only files of JSON have lists that become tables; these are ${format.kind}`)
    if (change.trailer !== undefined) throw mistake(`${where}: files with a trailer have no lists that become tables`)
    readable(where, it.columns)
    const parts = { remote: glob, columns: it.columns, key: it.def.key, contract: defaultFileContract }
    const def = tableDef(source, it.name, { ...parts, change: { ...change, format: { ...format, list: it.def } } })
    return { first: it.def.list[0] ?? '', table: def }
  })
}

/** Every column must have a place: a field of the line, or the path of the file. */
function assertPlaces(where: string, { format, glob, columns }: FileTable<Columns>): void {
  if (typeof format !== 'object' || format.kind !== 'fixed') return
  const places = [...Object.keys(format.widths), ...partitionsOf(glob)]
  for (const name of Object.keys(columns)) {
    if (!places.includes(name)) throw mistake(`${where}: column "${name}" has no width in the format`)
  }
  for (const name of Object.keys(format.widths)) {
    if (!name.startsWith('_') && !Object.hasOwn(columns, name)) {
      throw mistake(`${where}: the width of "${name}" is of no column; a field to pass over begins with _`)
    }
  }
}

/** A contract goes by the names of columns in the file: where there are none, one for this very table is a mistake. */
function assertNamed(
  where: string,
  { format }: FileTable<Columns>,
  contract: Contract | Contracts<string> | undefined,
  table: string,
): void {
  const hasNames =
    typeof format !== 'object' || (format.kind !== 'fixed' && !(format.kind === 'csv' && format.header === false))
  if (hasNames || typeof contract !== 'object' || !Object.hasOwn(contract, table)) return
  throw mistake(`${where}: a contract goes by the names of columns in the file, and its format has none`)
}

function trailerOf(where: string, trailer: RegExp, columns: Columns): string {
  const groups = [...trailer.source.matchAll(/\(\?<([^=!>][^>]*)>/g)].map(match => match[1] as string)
  const unknown = groups.find(name => name !== 'count' && !Object.hasOwn(columns, name))
  if (unknown !== undefined) throw mistake(`${where}: the trailer has the group "${unknown}", which is no column`)
  if (!groups.includes('count'))
    throw mistake(`${where}: the trailer needs a group for the number of rows: (?<count>\\d+)`)
  if (trailer.flags !== '') throw mistake(`${where}: the trailer takes no flags`)
  return trailer.source
}
