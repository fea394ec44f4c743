import type { ColumnDef, ColumnType } from '../../core/types.ts'

/** The flag of tables whose rows are claimed: `new` says that a row is new or changed. */
export const flag = { column: 'exported', pending: 'new', done: 'seen' } as const

interface Table {
  readonly remote: string
  readonly columns: readonly ColumnDef[]
  readonly key: readonly string[]
}

/** Statements that make a table with a flag, which every new row has. */
export function flaggedTable(
  { remote, columns, key }: Table,
  { typeName, flagType }: { typeName(type: ColumnType): string; readonly flagType: string },
): readonly string[] {
  const list = columns.map(it => `${it.name} ${typeName(it.type)}${key.includes(it.name) ? ' not null' : ''}`)
  const all = [
    ...list,
    `${flag.column} ${flagType} not null default '${flag.pending}'`,
    `primary key (${key.join(', ')})`,
  ]
  return [
    `drop table if exists ${remote}`,
    `create table ${remote} (${all.join(', ')})`,
    `create index ${remote}_flag on ${remote} (${flag.column})`,
  ]
}

/** A writer who knows of the flag sets it with every update, in the same statement. */
export function flagStatements(
  write: { readonly op: string; readonly table: Table; readonly id?: string; readonly sql: string },
  literal: (value: string) => string,
): readonly string[] {
  const { op, id, sql } = write
  if (op !== 'update' || id === undefined) return [sql]
  return [sql.replace(' set ', ` set ${flag.column} = ${literal(flag.pending)}, `)]
}
