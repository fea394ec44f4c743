import { readOptions } from '../core/implementation.ts'
import type { SecretRef } from '../core/secret.ts'
import { files as adapter } from '../services/adapter/files/index.ts'
import type { Duration } from './change.ts'
import { keyList, type Columns, type KeyOf, type NameOf, type OneOrMore } from './column.ts'
import { checkedName, checkedOptions, type Handle } from './handle.ts'
import { mistake } from './mistake.ts'
import { sourceOf, tableDef, type Table } from './source.ts'

/** One table of a files source: all files that match `glob`, with a header line. */
export interface FileTable<C extends Columns> {
  /** Pattern of names: `orders_*.csv`, `orders/dt=*` and so on below the folder; `**` alone is any number of folders. */
  readonly glob: string
  readonly columns: C
  readonly key: OneOrMore<NameOf<C>>
  /** `full`: each file is the whole table. `delta`: each file adds and replaces rows by key. */
  readonly scope: 'full' | 'delta'
  readonly encoding?: string
  /** A file is taken only together with its side-car, and only when the sums agree. */
  readonly checksum?: 'md5-sidecar' | 'sha256-sidecar'
  /** A file is taken only together with this marker: `*.done` is one beside each file, `_SUCCESS` one in each folder. */
  readonly done?: string
}

interface ColumnsByTable {
  readonly [table: string]: Columns
}
interface KeysByTable {
  readonly [table: string]: OneOrMore<string>
}
type FileTables<T extends ColumnsByTable, K extends KeysByTable> = { readonly [N in keyof T]: FileTable<T[N]> } & {
  readonly [N in keyof K]: { readonly key: K[N] }
}
type FileSource<S extends string, T extends ColumnsByTable, K extends KeysByTable> = Handle & {
  readonly [N in keyof T]: Table<S, T[N], KeyOf<K[N & keyof K]>>
}

export type FilesOptions = {
  /** Longest wait for an answer of the server, and for the next bytes of a transfer. */
  readonly timeout?: Duration
  /** How long a file without a side-car must not have changed before it is taken. */
  readonly settle?: Duration
} & (
  | {
      /** A folder of an FTP server, as `env('NAME')`: `ftp://user:password@host:port/folder`. */
      readonly url: SecretRef
      readonly folder?: never
    }
  | {
      /** A folder of this machine, absolute or from the folder of the configuration. */
      readonly folder: string
      readonly url?: never
    }
)

/** A folder that somebody drops files into. */
export function files<const S extends string, T extends ColumnsByTable, const K extends KeysByTable>(
  name: S,
  options: FilesOptions & { readonly tables: FileTables<T, K> },
): FileSource<S, T, K> {
  checkedName('source', name)
  const { tables, ...rest } = options
  const defs = Object.entries(tables as { readonly [name: string]: FileTable<Columns> }).map(([table, given]) => {
    const where = `table ${name}.${table}`
    checkedOptions(where, given, ['glob', 'columns', 'key', 'scope', 'encoding', 'checksum', 'done'])
    return tableDef(name, table, {
      remote: given.glob,
      columns: given.columns,
      key: keyList(given.key),
      change: {
        technique: 'files',
        scope: given.scope,
        format: 'csv',
        encoding: given.encoding ?? 'utf-8',
        checksum: given.checksum ?? 'none',
        ...(given.done === undefined ? {} : { done: given.done }),
      },
    })
  })
  readOptions(adapter.options, rest, `source "${name}"`)
  if ((rest.url === undefined) === (rest.folder === undefined))
    throw mistake(`source "${name}" takes a url or a folder`)
  return sourceOf({ name, adapter: adapter.kind, options: rest, tables: defs })
}
