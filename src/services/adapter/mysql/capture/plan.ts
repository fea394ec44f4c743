import type { ColumnDef } from '../../../../core/types.ts'
import { loggedWriter, nullWriter } from '../../../../systems/mysql/binlog/column-writer.ts'
import { cellLayout, type CellLayout } from '../../../../systems/mysql/binlog/rows.ts'
import { LOGGED, type LoggedColumn, type TableMap } from '../../../../systems/mysql/binlog/table-map.ts'
import {
  enumText,
  inet4Text,
  inet6Text,
  paddedBytes,
  setText,
  wideDecimalText,
  type Translate,
} from '../../../../systems/mysql/binlog/translate.ts'
import type { ZeroDates } from '../../../../systems/mysql/column-writer.ts'
import { WIRE } from '../../../../systems/mysql/protocol.ts'
import { loggedValueText } from '../../../../systems/mysql/binlog/bad-value.ts'
import { labelsOf, readAs } from '../../../../systems/mysql/types.ts'
import type { BatchShape } from '../../../../systems/wire/batch-builder.ts'
import type { ColumnWriter, WriterRoom } from '../../../../systems/wire/column-writer.ts'
import type { CapturedTable } from '../../contract-capture.ts'
import type { CatalogColumn } from '../catalog.ts'
import type { Charsets } from './charsets.ts'
import type { LogPosition } from './position.ts'

/** A table of the stream and what the catalog says of it. */
export interface KnownTable {
  readonly asked: CapturedTable
  readonly schema: string
  readonly relation: string
  /** Every column that it has; empty when it is gone. */
  readonly columns: readonly CatalogColumn[]
  readonly key: readonly string[]
  /** It keeps its own history, which the log has as rows of the table. */
  readonly isVersioned: boolean
  /** Columns that are NULL when an insert does not name them: a minimal image leaves them out. */
  readonly nullDefaults: ReadonlySet<string>
  /** Where the log ended when the catalog had been asked; `null` for a table that it does not have. */
  readonly seenAt: Pick<LogPosition, 'file' | 'offset'> | null
}

/** How the rows of a table become columns: made from what stands before them in the log. */
export interface TablePlan {
  readonly table: KnownTable
  /** What slices have. */
  readonly columns: readonly ColumnDef[]
  /** For each of `columns` its place in a row of the log. */
  readonly sources: Int32Array
  /** Which of `columns` are in the key: all of them where there is none. */
  readonly isKey: readonly boolean[]
  /** Places of the key in a row of the log. */
  readonly keys: Int32Array
  readonly layouts: readonly CellLayout[]
  readonly writer: (column: number, room: WriterRoom) => ColumnWriter
  /** What rejects are made with. */
  readonly shape: Omit<BatchShape, 'pool'>
}

/** Why rows cannot be read: the log and the catalog do not say the same of the table. */
export class ShapeUnknown extends Error {}

interface Facts {
  readonly column: CatalogColumn
  readonly logged: LoggedColumn
}

/** Makes the plan of a table. Throws `ShapeUnknown` rather than guess which column is which. */
export async function planOf(
  map: TableMap,
  table: KnownTable,
  given: {
    readonly charsets: Pick<Charsets, 'nameOf' | 'translateOf'>
    readonly zeroDates: ZeroDates
    readonly signal: AbortSignal
  },
): Promise<TablePlan> {
  const layouts = map.columns.map((logged, place) => layoutOf(logged, place, table))
  const facts = map.columns.map(logged => factsOf(logged, table, given.charsets))
  const { asked } = table
  const columns: ColumnDef[] = []
  const sources: number[] = []
  for (const { name, nullable, personal } of asked.columns) {
    const place = facts.findIndex(({ column }) => column.name === name)
    if (place < 0) continue
    sources.push(place)
    columns.push({ name, type: (facts[place] as Facts).column.type, nullable, personal })
  }
  const keys = asked.key.map(name => facts.findIndex(({ column }) => column.name === name))
  if (keys.includes(-1)) throw new ShapeUnknown(`the key column "${asked.key[keys.indexOf(-1)]}" is not in the log`)
  const translates = await Promise.all(sources.map(place => translateOf(facts[place] as Facts, given)))
  const writer: TablePlan['writer'] = (c, room) => {
    const { column, logged } = facts[sources[c] as number] as Facts
    const unsigned = logged.unsigned ?? column.nativeType.includes('unsigned')
    const { zeroDates } = given
    const translate = translates[c] ?? null
    return loggedWriter({ column: logged, type: column.type, unsigned, translate, zeroDates }, room)
  }
  return {
    table,
    columns,
    sources: Int32Array.from(sources),
    isKey: columns.map(({ name }) => asked.key.length === 0 || asked.key.includes(name)),
    keys: Int32Array.from(keys),
    layouts,
    writer,
    shape: { columns, key: asked.key, writer, badValueText: loggedValueText },
  }
}

function layoutOf(logged: LoggedColumn, place: number, { asked }: KnownTable): CellLayout {
  const layout = cellLayout(logged)
  if (layout === null)
    throw new ShapeUnknown(`column ${place + 1} of "${asked.remote}" is of type ${logged.type}, which is not known`)
  return layout
}

/**
 * What is known of a column of the log: from the catalog where that agrees, else from what the log says of it. Columns are
 * told apart by their names only: by their places rows from before an ALTER TABLE would have values in wrong columns.
 */
function factsOf(logged: LoggedColumn, { asked, columns }: KnownTable, charsets: Pick<Charsets, 'nameOf'>): Facts {
  const { name } = logged
  if (name === null) {
    throw new ShapeUnknown(
      `rows of "${asked.remote}" come without the names of their columns: the server must have binlog_row_metadata = FULL when they are written`,
    )
  }
  const charset = charsets.nameOf(logged.collation)
  const inCatalog = columns.find(column => column.name === name)
  if (inCatalog !== undefined && isLoggedAs(inCatalog, logged, charset)) return { column: inCatalog, logged }
  return { column: columnFromLog(logged, name, charset), logged }
}

/** Types of the log for a type of the catalog. */
const loggedAs: Readonly<Record<string, readonly number[]>> = {
  tinyint: [WIRE.tiny],
  smallint: [WIRE.short],
  mediumint: [WIRE.int24],
  int: [WIRE.long],
  bigint: [WIRE.longlong],
  float: [WIRE.float],
  double: [WIRE.double],
  decimal: [WIRE.newDecimal],
  bit: [WIRE.bit],
  year: [WIRE.year],
  date: [WIRE.date, LOGGED.newDate],
  time: [LOGGED.time2],
  datetime: [LOGGED.datetime2],
  timestamp: [LOGGED.timestamp2],
  char: [LOGGED.string],
  binary: [LOGGED.string],
  uuid: [LOGGED.string],
  inet6: [LOGGED.string],
  inet4: [LOGGED.string],
  varchar: [LOGGED.varchar],
  varbinary: [LOGGED.varchar],
  enum: [LOGGED.enum],
  set: [LOGGED.set],
}
const BLOBS: readonly number[] = [LOGGED.blob, WIRE.geometry]

function isLoggedAs(column: CatalogColumn, logged: LoggedColumn, charset: string | null): boolean {
  const { nativeName, nativeType } = column
  if (!(loggedAs[nativeName] ?? BLOBS).includes(logged.type)) return false
  if (logged.unsigned !== null && logged.unsigned !== nativeType.includes('unsigned')) return false
  if (column.charset !== null && charset !== null && column.charset !== charset) return false
  switch (nativeName) {
    case 'decimal':
      return nativeType.startsWith(`decimal(${logged.size},${logged.scale})`)
    case 'bit':
      return nativeType === `bit(${logged.size})`
    case 'time':
    case 'datetime':
    case 'timestamp':
      return column.timeDigits === logged.size
    case 'enum':
    case 'set': {
      const count = labelsOf(nativeType).length
      return logged.labels === null ? labelBytes(nativeName, count) === logged.size : count === logged.labels.length
    }
    case 'uuid':
    case 'inet6':
      return logged.size === 16
    case 'inet4':
      return logged.size === 4
    case 'binary':
      return nativeType === `binary(${logged.size})`
    default:
      return true
  }
}

function labelBytes(kind: 'enum' | 'set', labels: number): number {
  if (kind === 'enum') return labels < 256 ? 1 : 2
  const bytes = (labels + 7) >> 3
  return bytes > 4 ? 8 : bytes
}

const nativeNames: Readonly<Record<number, string>> = {
  [WIRE.tiny]: 'tinyint',
  [WIRE.short]: 'smallint',
  [WIRE.int24]: 'mediumint',
  [WIRE.long]: 'int',
  [WIRE.longlong]: 'bigint',
  [WIRE.float]: 'float',
  [WIRE.double]: 'double',
  [WIRE.newDecimal]: 'decimal',
  [WIRE.bit]: 'bit',
  [WIRE.year]: 'year',
  [WIRE.date]: 'date',
  [LOGGED.newDate]: 'date',
  [LOGGED.time2]: 'time',
  [LOGGED.datetime2]: 'datetime',
  [LOGGED.timestamp2]: 'timestamp',
  [LOGGED.enum]: 'enum',
  [LOGGED.set]: 'set',
  [WIRE.geometry]: 'geometry',
}

/** A column by what the log says of it: it has another shape now, or is gone. */
function columnFromLog(logged: LoggedColumn, name: string, charset: string | null): CatalogColumn {
  const isBinary = charset === 'binary'
  const fixed = logged.type === LOGGED.string
  const nativeName =
    nativeNames[logged.type] ?? (isBinary ? (fixed ? 'binary' : 'longblob') : fixed ? 'char' : 'longtext')
  const labels = (logged.labels ?? []).map(label => `'${label.toString('utf8').replaceAll("'", "''")}'`).join(',')
  const size =
    nativeName === 'decimal'
      ? `(${logged.size},${logged.scale})`
      : nativeName === 'bit' || nativeName === 'binary'
        ? `(${logged.size})`
        : labels === ''
          ? ''
          : `(${labels})`
  const nativeType = `${nativeName}${size}${logged.unsigned === true ? ' unsigned' : ''}`
  const isText = !isBinary && (labels !== '' || /char|text/.test(nativeName))
  const own = isText ? (charset ?? 'utf8mb4') : null
  const native = readAs({
    name: nativeName,
    full: nativeType,
    precision: logged.size,
    scale: logged.scale,
    charset: own,
    isJson: false,
  })
  return {
    ...native,
    name,
    nativeName,
    nativeType,
    nullable: true,
    personal: false,
    charset: own,
    collation: null,
    readable: true,
    generated: false,
    timeDigits: logged.size,
  }
}

/** How a value becomes bytes or text, where it does not lie in the row as such. */
async function translateOf(
  { column, logged }: Facts,
  { charsets, signal }: { readonly charsets: Pick<Charsets, 'nameOf' | 'translateOf'>; readonly signal: AbortSignal },
): Promise<Translate | null> {
  const { nativeName, nativeType } = column
  const toUtf8 = column.charset === null ? null : await charsets.translateOf(column.charset, signal)
  switch (nativeName) {
    case 'enum':
    case 'set': {
      const labels = (logged.labels ?? []).map(label => toUtf8?.(label, 0, label.length) ?? label)
      const own = logged.labels === null ? labelsOf(nativeType).map(label => Buffer.from(label)) : labels
      return nativeName === 'enum' ? enumText(own) : setText(own)
    }
    case 'decimal':
      return column.as === 'cast' ? wideDecimalText(logged.size, logged.scale, nativeType.includes('zerofill')) : null
    case 'inet4':
      return inet4Text
    case 'inet6':
      return inet6Text
    case 'binary':
      return paddedBytes(logged.size)
    default:
      return toUtf8
  }
}

/** A plan for what is told of a table as a whole, of which the log has had no row. */
export function planWithoutRows(table: KnownTable): TablePlan {
  const { asked } = table
  const columns = asked.columns.flatMap(({ name, nullable, personal }) => {
    const found = table.columns.find(column => column.name === name)
    return found === undefined ? [] : [{ name, type: found.type, nullable, personal }]
  })
  const writer: TablePlan['writer'] = (c, room) => nullWriter((columns[c] as ColumnDef).type, room)
  return {
    table,
    columns,
    writer,
    sources: new Int32Array(0),
    keys: new Int32Array(0),
    layouts: [],
    isKey: columns.map(({ name }) => asked.key.length === 0 || asked.key.includes(name)),
    shape: { columns, key: asked.key, writer, badValueText: loggedValueText },
  }
}
