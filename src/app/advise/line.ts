import type { ChangeDef } from '../../config/model.ts'
import type { ColumnDef } from '../../core/types.ts'

/** The line of `changes` that gives a table a technique: to paste. `nameOf` gives the config's name of a column. */
export function lineOf(
  table: string,
  change: ChangeDef,
  columns: readonly ColumnDef[],
  nameOf: (column: string) => string,
): string {
  return `${/^[a-z_$][\w$]*$/i.test(table) ? table : quoted(table)}: { ${parts(change, { columns, nameOf }).join(', ')} },`
}

interface Columns {
  readonly columns: readonly ColumnDef[]
  readonly nameOf: (column: string) => string
}

function parts(change: ChangeDef, known: Columns): readonly string[] {
  const technique = `technique: ${quoted(change.technique)}`
  switch (change.technique) {
    case 'timestamp':
      return [technique, ...stampParts(change, known), deletes(change.deletes)]
    case 'version':
      return [technique, ...versionParts(change, known), deletes(change.deletes)]
    case 'status': {
      const { column, pending, done } = change.flag
      const value = (text: string): string => literal(known, column, text)
      const flag = [`column: ${quoted(known.nameOf(column))}`, `pending: ${value(pending)}`, `done: ${value(done)}`]
      return [technique, ...flag, deletes(change.deletes)]
    }
    case 'combined': {
      const { timestamp, version, flag } = change
      return [
        technique,
        ...(timestamp === null ? [] : [`timestamp: { ${stampParts(timestamp, known).join(', ')} }`]),
        ...(version === null ? [] : [`version: { ${versionParts(version, known).join(', ')} }`]),
        ...(flag === null
          ? []
          : [
              `status: { column: ${quoted(known.nameOf(flag.column))}, pending: ${literal(known, flag.column, flag.pending)} }`,
            ]),
        deletes(change.deletes),
      ]
    }
    default:
      return [technique]
  }
}

function stampParts(
  { column, lagMs }: { readonly column: string; readonly lagMs: number | null },
  { nameOf }: Columns,
): readonly string[] {
  return [`column: ${quoted(nameOf(column))}`, ...(lagMs === null ? [] : [`lag: '${Math.ceil(lagMs / 1000)}s'`])]
}

function versionParts(
  part: { readonly column: string; readonly overlap: bigint | null },
  { nameOf }: Columns,
): readonly string[] {
  return [`column: ${quoted(nameOf(part.column))}`, ...(part.overlap === null ? [] : [`overlap: ${part.overlap}`])]
}

function deletes(given: Extract<ChangeDef, { technique: 'timestamp' }>['deletes']): string {
  return given.kind === 'keep' ? `deletes: 'keep'` : `deletes: { sweep: '${Math.ceil(given.everyMs / 60_000)}m' }`
}

function literal({ columns }: Columns, column: string, value: string): string {
  const kind = columns.find(it => it.name === column)?.type.kind
  return kind === 'bool' || kind === 'int' ? value : quoted(value)
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`
}
