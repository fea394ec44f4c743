/**
 * Column types, one list for sources, staging and engines. Values are exact in all of them:
 * what a type cannot hold is text (numeric without precision, arrays, ranges), never a rounding.
 */
export type ColumnType =
  | { readonly kind: 'bool' }
  | { readonly kind: 'int'; readonly bits: 16 | 32 | 64 }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'float'; readonly bits: 32 | 64 }
  | { readonly kind: 'text' }
  | { readonly kind: 'enum'; readonly values: readonly string[] }
  | { readonly kind: 'bytes' }
  | { readonly kind: 'json' }
  | { readonly kind: 'uuid' }
  | { readonly kind: 'date' }
  | { readonly kind: 'time' }
  | { readonly kind: 'timestamp'; readonly zoned: boolean }
  | { readonly kind: 'interval' }

/** One column of a table: in a source, in staging, in an entity or in a dimension. */
export interface ColumnDef {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  /** Personal data: may leave only through a masked export, and is masked in reports, logs and errors. */
  readonly personal: boolean
}

/** Text of a type as users and plans read it: `decimal(12,2)`, `timestamp with time zone`. */
export function typeText(type: ColumnType): string {
  switch (type.kind) {
    case 'int':
      return `int${type.bits}`
    case 'float':
      return `float${type.bits}`
    case 'decimal':
      return `decimal(${type.precision},${type.scale})`
    case 'timestamp':
      return type.zoned ? 'timestamp with time zone' : 'timestamp'
    case 'enum':
      return `enum(${type.values.join(', ')})`
    default:
      return type.kind
  }
}
