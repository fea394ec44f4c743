import { fail } from './errors.ts'
import type { ColumnDef, ColumnType } from './types.ts'

/** What stands before the buffers of an encoded slice. As JSON its time is text. */
export interface SliceHead<Micros = bigint> {
  readonly position: string | null
  readonly committedMicros: Micros | null
  readonly tables: readonly TableHead[]
  /** How many there are. */
  readonly transactions: number
  /** Of each message. */
  readonly prefixes: readonly string[]
  /** Bytes of each buffer; -1 for one that is not there. */
  readonly lengths: readonly number[]
}

/** What the head says of one table. */
export interface TableHead {
  readonly table: string
  readonly columns: readonly ColumnDef[]
  readonly rows: number
}

/** The head as it was parsed from JSON, checked to the last member. Throws `SLICE_DAMAGED`. */
export function parseHead(value: unknown): SliceHead {
  const head = record(value, 'head')
  const micros = textOrNull(head['committedMicros'], 'committedMicros')
  // Longer than any 64-bit number: a long text of digits would cost time.
  if (micros !== null && !/^-?\d{1,20}$/.test(micros)) throw damaged('committedMicros')
  return {
    position: textOrNull(head['position'], 'position'),
    committedMicros: micros === null ? null : BigInt(micros),
    tables: list(head['tables'], 'tables').map(parseTable),
    transactions: count(head['transactions'], 'transactions'),
    prefixes: list(head['prefixes'], 'prefixes').map(it => text(it, 'prefixes')),
    lengths: list(head['lengths'], 'lengths').map(it => (it === -1 ? -1 : count(it, 'lengths'))),
  }
}

function parseTable(value: unknown): TableHead {
  const table = record(value, 'table')
  return {
    table: text(table['table'], 'table'),
    columns: list(table['columns'], 'columns').map(parseColumn),
    rows: count(table['rows'], 'rows'),
  }
}

function parseColumn(value: unknown): ColumnDef {
  const column = record(value, 'column')
  return {
    name: text(column['name'], 'name'),
    type: parseType(record(column['type'], 'type')),
    nullable: flag(column['nullable'], 'nullable'),
    personal: flag(column['personal'], 'personal'),
  }
}

function parseType(type: Readonly<Record<string, unknown>>): ColumnType {
  const kind = text(type['kind'], 'kind')
  switch (kind) {
    case 'int':
      return { kind, bits: oneOf(type['bits'], [16, 32, 64]) }
    case 'float':
      return { kind, bits: oneOf(type['bits'], [32, 64]) }
    case 'decimal':
      return { kind, precision: count(type['precision'], 'precision'), scale: count(type['scale'], 'scale') }
    case 'enum':
      return { kind, values: list(type['values'], 'values').map(it => text(it, 'values')) }
    case 'timestamp':
      return { kind, zoned: flag(type['zoned'], 'zoned') }
    case 'bool':
    case 'text':
    case 'bytes':
    case 'json':
    case 'uuid':
    case 'date':
    case 'time':
    case 'interval':
      return { kind }
    default:
      throw damaged('kind')
  }
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw damaged(what)
  return value as Record<string, unknown>
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw damaged(what)
  return value
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw damaged(what)
  return value
}

function textOrNull(value: unknown, what: string): string | null {
  return value === null ? null : text(value, what)
}

function flag(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw damaged(what)
  return value
}

function oneOf<N extends number>(value: unknown, choices: readonly N[]): N {
  const choice = choices.find(it => it === value)
  if (choice === undefined) throw damaged('bits')
  return choice
}

/** A whole number that lengths may be reckoned with, without leaving the exact ones. */
function count(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw damaged(what)
  return value
}

function damaged(what: string): Error {
  return fail('SLICE_DAMAGED', { problem: `"${what}" in its head is not what it should be` })
}
