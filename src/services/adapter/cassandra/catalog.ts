import { fail } from '../../../core/errors.ts'
import { sql } from '../../../core/sql.ts'
import type { DescribedColumn, TableDescription } from '../contract.ts'
import type { Connection, Target } from './connection.ts'
import { typeOf } from './types.ts'

/** A table or view of a keyspace. */
export interface CatalogTable extends TableDescription {
  readonly keyspace: string
  readonly table: string
  /** Columns of the partition key, which a token is made of. */
  readonly partition: readonly string[]
}

const systemKeyspaces = /^(system|system_.*|dse_.*|solr_admin|OpsCenter)$/

/** Every table and view of the keyspace that the address names, or of all that are no system's own. */
export async function readCatalog(
  connection: Connection,
  target: Target,
  signal: AbortSignal,
): Promise<readonly CatalogTable[]> {
  const rows =
    target.keyspace === null
      ? await connection.rows(sql`select * from system_schema.columns`, signal)
      : await connection.rows(sql`select * from system_schema.columns where keyspace_name = ${target.keyspace}`, signal)
  return tablesOf(
    rows.filter(row => !systemKeyspaces.test(String(row['keyspace_name']))),
    target,
  )
}

/** One table. Throws `SOURCE_TABLE_GONE`. */
export async function readTable(
  connection: Connection,
  target: Target,
  remote: string,
  signal: AbortSignal,
): Promise<CatalogTable> {
  const [first = '', second] = remote.split('.')
  const [keyspace, table] = second === undefined ? [target.keyspace, first] : [first, second]
  const rows =
    keyspace === null
      ? []
      : await connection.rows(
          sql`select * from system_schema.columns where keyspace_name = ${keyspace} and table_name = ${table}`,
          signal,
        )
  const [found] = tablesOf(rows, target)
  if (found === undefined) throw fail('SOURCE_TABLE_GONE', { source: target.source, table: remote })
  return found
}

type CatalogRow = Readonly<Record<string, unknown>>

function tablesOf(rows: readonly CatalogRow[], target: Target): readonly CatalogTable[] {
  const byTable = new Map<string, CatalogRow[]>()
  for (const row of rows) {
    const id = `${String(row['keyspace_name'])}.${String(row['table_name'])}`
    byTable.set(id, [...(byTable.get(id) ?? []), row])
  }
  return [...byTable.values()].map(own => tableOf(own, target)).sort((a, b) => (a.name < b.name ? -1 : 1))
}

function tableOf(rows: readonly CatalogRow[], { keyspace: known }: Target): CatalogTable {
  const [first] = rows
  const [keyspace, table] = [String(first?.['keyspace_name']), String(first?.['table_name'])]
  const named = (kind: string): readonly string[] =>
    rows
      .filter(row => row['kind'] === kind)
      .sort((a, b) => Number(a['position']) - Number(b['position']))
      .map(row => String(row['column_name']))
  const partition = named('partition_key')
  const key = [...partition, ...named('clustering')]
  const rest = rows.map(row => String(row['column_name'])).filter(name => !key.includes(name))
  const columns = [...key, ...rest.sort()].map((name): DescribedColumn => {
    const row = rows.find(it => it['column_name'] === name) as CatalogRow
    const nativeType = String(row['type'])
    return { name, type: typeOf(nativeType), nullable: !key.includes(name), personal: false, nativeType }
  })
  const name = keyspace === known ? table : `${keyspace}.${table}`
  // The estimate that nodes keep is of partitions, not of rows.
  return { name, keyspace, table, partition, key, columns, rowsEstimate: null }
}
