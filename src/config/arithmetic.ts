import type { Expr } from '../core/expr.ts'
import { typeText, type ColumnType } from '../core/types.ts'
import { mistake } from './mistake.ts'

export type ArithmeticName = 'add' | 'subtract' | 'multiply' | 'divide'

type Exact = { readonly precision: number; readonly scale: number }

const precisionMax = 38
/** Digits of the widest value of an integer type. */
const intDigits = { 16: 5, 32: 10, 64: 19 } as const
/** How many digits a quotient has beyond the longer scale of its operands. */
const quotientDigits = 6

/**
 * The type of a result. Whole numbers stay whole in 64 bits, except that a quotient is a decimal; decimals are exact:
 * what 38 digits cannot hold is a mistake of the configuration, never a rounding.
 */
export function resultType(name: ArithmeticName, left: ColumnType, right: ColumnType): ColumnType {
  if (left.kind === 'float' || right.kind === 'float') return { kind: 'float', bits: 64 }
  if (left.kind === 'int' && right.kind === 'int' && name !== 'divide') return { kind: 'int', bits: 64 }
  const a = exactOf(left, name)
  const b = exactOf(right, name)
  const scale = scaleOf(name, a, b)
  if (scale > precisionMax) {
    throw mistake(
      `${name} of ${typeText(left)} and ${typeText(right)} needs ${scale} digits after the point; 38 is the most`,
    )
  }
  return { kind: 'decimal', precision: Math.min(precisionMax, precisionOf(name, a, b, scale)), scale }
}

function scaleOf(name: ArithmeticName, a: Exact, b: Exact): number {
  const longer = Math.max(a.scale, b.scale)
  if (name === 'multiply') return a.scale + b.scale
  return name === 'divide' ? longer + quotientDigits : longer
}

function precisionOf(name: ArithmeticName, a: Exact, b: Exact, scale: number): number {
  if (name === 'divide') return precisionMax
  if (name === 'multiply') return a.precision + b.precision
  return Math.max(a.precision - a.scale, b.precision - b.scale) + scale + 1
}

function exactOf(type: ColumnType, name: string): Exact {
  if (type.kind === 'decimal') return type
  if (type.kind === 'int') return { precision: intDigits[type.bits], scale: 0 }
  throw mistake(`${name} needs numbers; this is ${typeText(type)}`)
}

/** The type after rounding to `digits` after the point. */
export function roundedType(type: ColumnType, digits: number): ColumnType {
  if (!Number.isInteger(digits) || digits < 0) throw mistake(`round(${digits}): give 0 or more digits after the point`)
  if (type.kind !== 'decimal') return type
  const scale = Math.min(type.scale, digits)
  return { kind: 'decimal', precision: Math.min(precisionMax, type.precision - type.scale + scale + 1), scale }
}

/** A constant beside a value of type `beside`: decimals exactly as written, whole numbers only within 2^53. */
export function constant(
  value: string | number | bigint | boolean,
  beside: ColumnType,
): Extract<Expr, { kind: 'literal' }> {
  if (typeof value === 'number' && beside.kind !== 'float' && !Number.isSafeInteger(value)) {
    throw mistake(`${value} is not a whole number that JavaScript holds exactly; write it as text: '${value}'`)
  }
  const isExact = beside.kind === 'decimal' || beside.kind === 'int'
  if (isExact && typeof value === 'string') return { kind: 'literal', value, type: decimalOfText(value) }
  if (isExact) return { kind: 'literal', value, type: { kind: 'int', bits: fitsInt32(value) ? 32 : 64 } }
  return { kind: 'literal', value, type: beside.kind === 'enum' ? { kind: 'text' } : beside }
}

function fitsInt32(value: unknown): boolean {
  return Number(value) >= -2_147_483_648 && Number(value) <= 2_147_483_647
}

function decimalOfText(text: string): ColumnType {
  const match = /^[-+]?(\d+)(?:\.(\d+))?$/.exec(text)
  if (match === null) throw mistake(`'${text}' is not a decimal number; write it like '12.50'`)
  const [, whole, fraction = ''] = match as unknown as [string, string, string?]
  const precision = whole.length + fraction.length
  if (precision > precisionMax) throw mistake(`'${text}' has ${precision} digits; 38 is the most`)
  return { kind: 'decimal', precision, scale: fraction.length }
}
