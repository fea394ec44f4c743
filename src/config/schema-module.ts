import type { Env } from '../core/env.ts'
import { isNaruError } from '../core/errors.ts'
import type { ColumnType } from '../core/types.ts'
import type { TableDescription } from '../services/adapter/contract.ts'
import { evaluate } from './load.ts'
import type { Schema } from './source.ts'

/** Longest name of a table, as the rest of the configuration takes it. */
const tableNameMax = 40

/**
 * The text of the schema module of a source: what `naru pull` writes. The same catalog gives the same text. What a user
 * may add by hand is taken over from the previous module: `.pii()`, and the key of a table that has none in its source.
 */
export function writeSchemaModule(source: string, tables: readonly TableDescription[], previous: Schema = {}): string {
  const sorted = [...tables].sort((a, b) => (a.name < b.name ? -1 : 1))
  const names = tableNames(sorted)
  const body = sorted.map((table, i) =>
    tableText(names[i] as string, table, previousTable(previous, table, names[i] as string)),
  )
  return [
    `// The tables of source "${source}", written by \`naru pull ${source}\`, which renews this file.`,
    '// Two things added by hand stay: .pii() on columns with personal data, and the key of a table that has none.',
    "import { t } from 'naru'",
    '',
    `export const ${camelCase(source)}Schema = {`,
    ...body,
    '} as const',
    '',
  ].join('\n')
}

/** The tables that a schema module declares; none when there is no such file yet. */
export async function readSchemaModule(env: Env, file: string): Promise<Schema> {
  try {
    const module = await evaluate(env, file)
    return (Object.entries(module).find(([name]) => name.endsWith('Schema'))?.[1] ?? {}) as Schema
  } catch (error) {
    if (isNaruError(error, 'CONFIG_NOT_FOUND')) return {}
    throw error
  }
}

type SchemaTable = Schema[string]

function previousTable(previous: Schema, table: TableDescription, name: string): SchemaTable | undefined {
  const entries = Object.entries(previous)
  return entries.find(([given, { remote }]) => (remote ?? given) === table.name)?.[1] ?? previous[name]
}

function tableText(name: string, table: TableDescription, previous: SchemaTable | undefined): string {
  const known = table.columns.map(column => column.name)
  const before = previous?.key ?? []
  const kept = before === 'append' || before.every(column => known.includes(column)) ? before : []
  const columns = table.columns.map(column => {
    const personal = column.personal || (previous !== undefined && isPersonal(previous, column.name))
    const marks = `${column.nullable ? '.null()' : ''}${personal ? '.pii()' : ''}`
    return `      ${property(column.name)}: t.${typeText(column.type)}${marks}, // ${commentText(column.nativeType)}`
  })
  return [
    `  ${name}: {`,
    ...(name === table.name ? [] : [`    remote: ${quoted(table.name)},`]),
    keyText(table.key, kept),
    '    columns: {',
    ...columns,
    '    },',
    '  },',
  ].join('\n')
}

/**
 * Whoever asked for an append log keeps it, also when the source has a key by now: staged by another key, it is another table.
 * What is said of a table without a key does not depend on what was made of it, so that the next pull changes nothing.
 */
function keyText(declared: readonly string[], kept: Schema[string]['key']): string {
  const list = (key: readonly string[]): string => `[${key.map(quoted).join(', ')}]`
  if (declared.length > 0 && kept !== 'append') return `    key: ${list(declared)},`
  const said =
    declared.length > 0
      ? `the source has a key: ${commentText(list(declared))}`
      : "none in the source: the columns that tell rows apart, or 'append' for a log of its changes"
  return `    key: ${kept === 'append' ? "'append'" : list(kept)}, // ${said}`
}

function isPersonal(previous: SchemaTable, column: string): boolean {
  return Object.hasOwn(previous.columns, column) && previous.columns[column]?.personal === true
}

function typeText(type: ColumnType): string {
  switch (type.kind) {
    case 'int':
      return `${({ 16: 'small', 32: 'int', 64: 'big' } as const)[type.bits]}()`
    case 'decimal':
      return `decimal(${type.precision}, ${type.scale})`
    case 'float':
      return type.bits === 32 ? 'float(32)' : 'float()'
    case 'timestamp':
      return type.zoned ? 'timestamptz()' : 'timestamp()'
    case 'enum':
      return `enum(${type.values.map(quoted).join(', ')})`
    default:
      return `${type.kind}()`
  }
}

/** Names that the configuration takes: `Sales.Order` becomes `sales_order`, a second one `sales_order_2`; a short name when one table has it. */
function tableNames(tables: readonly TableDescription[]): readonly string[] {
  const taken = new Set<string>()
  return tables.map(({ name: remote, shortName }) => {
    const isAlone = tables.filter(it => it.shortName === shortName).length === 1
    const given = shortName === undefined || !isAlone ? remote : shortName
    const plain = given.toLowerCase().replaceAll(/[^a-z0-9_]+/g, '_')
    const base = (/^[a-z]/.test(plain) ? plain : `t_${plain}`).slice(0, tableNameMax - 4)
    let name = base
    for (let n = 2; taken.has(name); n++) name = `${base}_${n}`
    taken.add(name)
    return name
  })
}

function camelCase(name: string): string {
  return name.replaceAll(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

function property(name: string): string {
  // Written plainly, this one name would set the prototype.
  if (name === '__proto__') return `['__proto__']`
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name)
}

function quoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'").replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}'`
}

function commentText(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
}
