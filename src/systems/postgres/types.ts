import type { ColumnType } from '../../core/types.ts'

/** How a native column is read: as which type, and whether the source casts it to text for us. */
export interface NativeColumn {
  readonly type: ColumnType
  readonly asText: boolean
}

/** What the catalog says of a column's type, domains already replaced by what they stand for. */
export interface NativeType {
  readonly oid: number
  /** Length, precision and scale as PostgreSQL packs them; -1 when the type has none. */
  readonly modifier: number
  /** Labels in their order, for enums. */
  readonly labels: readonly string[] | undefined
}

/** Types whose binary form is ours after a swap of bytes. Their object ids are fixed by PostgreSQL. */
const exact: Readonly<Record<number, ColumnType>> = {
  16: { kind: 'bool' },
  17: { kind: 'bytes' },
  20: { kind: 'int', bits: 64 },
  21: { kind: 'int', bits: 16 },
  23: { kind: 'int', bits: 32 },
  19: { kind: 'text' }, // name
  25: { kind: 'text' },
  1043: { kind: 'text' }, // character varying
  114: { kind: 'json' },
  700: { kind: 'float', bits: 32 },
  701: { kind: 'float', bits: 64 },
  1082: { kind: 'date' },
  1083: { kind: 'time' },
  1114: { kind: 'timestamp', zoned: false },
  1184: { kind: 'timestamp', zoned: true },
  1186: { kind: 'interval' },
  2950: { kind: 'uuid' },
}

const NUMERIC = 1700
const JSONB = 3802

/** Maps a native type. What no column type holds exactly (arrays, ranges, money, wide numerics, ...) becomes the source's own text. */
export function readAs(native: NativeType): NativeColumn {
  const same = exact[native.oid]
  if (same !== undefined) return { type: same, asText: false }
  if (native.labels !== undefined) return { type: { kind: 'enum', values: native.labels }, asText: false }
  if (native.oid === JSONB) return { type: { kind: 'json' }, asText: true }
  const decimal = native.oid === NUMERIC ? decimalOf(native.modifier) : null
  return decimal === null ? { type: { kind: 'text' }, asText: true } : { type: decimal, asText: false }
}

function decimalOf(modifier: number): ColumnType | null {
  if (modifier < 4) return null // numeric without a precision holds any number of digits
  const precision = ((modifier - 4) >> 16) & 0xffff
  const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024 // eleven bits with a sign since PostgreSQL 15
  return precision <= 38 && scale >= 0 && scale <= precision ? { kind: 'decimal', precision, scale } : null
}
