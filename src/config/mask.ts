import type { ColumnDef } from '../core/types.ts'
import type { SecretRef } from '../core/secret.ts'
import type { Column, Group, GroupOf, Holds, MayBeNull, Personal } from './column.ts'
import { mistake } from './mistake.ts'
import type { MaskDef } from './model.ts'

declare const masks: unique symbol

/** What becomes of a column on its way out; `A` are the kinds of values it can mask. */
export interface Mask<M extends MaskDef['kind'], in A extends string> {
  readonly kind: M
  readonly [masks]: (value: A) => void
}

/** Looked up, not named, so that compiler messages list the kinds. */
interface Maskable {
  text: 'text' | `'${string}'` | 'may be NULL' | 'personal data'
  number: 'small' | 'int' | 'big' | 'decimal' | 'float' | 'may be NULL' | 'personal data'
}

const masked = Symbol.for('naru.mask')

function make<M extends MaskDef['kind'], A extends string>(def: MaskDef & { readonly kind: M }): Mask<M, A> {
  return Object.freeze({ kind: def.kind, [masked]: def }) as unknown as Mask<M, A>
}

/** The definition behind a mask; `null` when `value` is none. */
export function maskOf(value: unknown): MaskDef | null {
  return typeof value === 'object' && value !== null && masked in value ? (value[masked] as MaskDef) : null
}

/** The ways to mask a column. A missing value stays missing. */
export const mask = {
  /** Leaves the column out. */
  drop: (): Mask<'drop', string> => make({ kind: 'drop' }),
  /** A keyed hash as text: equal values give equal tokens in every export with the same secret. */
  hash: (secret: SecretRef): Mask<'hash', string> => make({ kind: 'hash', secret: checkedSecret(secret) }),
  /** The same text for every value. */
  redact: (text = '***'): Mask<'redact', string> => make({ kind: 'redact', text }),
  /** Only the last characters of a text. */
  keepLast: (count: number): Mask<'keepLast', Maskable['text']> =>
    make({ kind: 'keepLast', count: positive('keepLast', count) }),
  /** A number rounded down to a multiple of `width`. */
  bucket: (width: number): Mask<'bucket', Maskable['number']> =>
    make({ kind: 'bucket', width: positive('bucket', width) }),
} as const

function checkedSecret(secret: SecretRef): SecretRef {
  const given = secret as { readonly kind?: unknown } | undefined
  if (given?.kind !== 'secret') throw mistake("mask.hash() takes its key as env('NAME') or file('path')")
  return secret
}

function positive(what: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1) throw mistake(`mask.${what}(${value}): give a whole number from 1 on`)
  return value
}

/** A column after its mask. */
export type MaskedColumn<C extends Column<Group, string>, M> = M extends { readonly kind: 'bucket' }
  ? Column<GroupOf<C>, Exclude<Holds<C>, Personal>>
  : Column<'text', 'text' | Extract<Holds<C>, MayBeNull>>

/** The same for the model; `null` when the column is dropped. */
export function maskedColumn(column: ColumnDef, def: MaskDef | undefined): ColumnDef | null {
  if (def === undefined) return column
  if (def.kind === 'drop') return null
  return { ...column, type: def.kind === 'bucket' ? column.type : { kind: 'text' }, personal: false }
}
