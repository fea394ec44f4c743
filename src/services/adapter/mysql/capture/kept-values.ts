import { labelsOf } from '../../../../systems/mysql/types.ts'
import type { CatalogColumn } from '../catalog.ts'

/**
 * True when every value that a column held is surely the same behind an ALTER TABLE that gave it another definition: the
 * server rewrites the rows without a word in the log. What is not known to keep them does not.
 */
export function keepsValues(before: CatalogColumn, now: CatalogColumn): boolean {
  if (before.generated || now.generated) return false
  if (before.nullable && !now.nullable) return false
  if (before.nativeType === now.nativeType && before.charset === now.charset) return true
  return (
    isWiderNumber(before, now) || isLongerText(before, now) || hasMoreLabels(before, now) || isFinerTime(before, now)
  )
}

const NUMBERS = ['tinyint', 'smallint', 'mediumint', 'int', 'bigint']

function isWiderNumber(before: CatalogColumn, now: CatalogColumn): boolean {
  const [from, to] = [before, now].map(({ nativeName }) => NUMBERS.indexOf(nativeName)) as [number, number]
  const [wasUnsigned, isUnsigned] = [before, now].map(({ nativeType }) => nativeType.includes('unsigned'))
  if (from < 0 || to < from) return false
  return wasUnsigned === isUnsigned || (wasUnsigned === true && to > from)
}

/** Bytes that each kind of text has room for. */
const ROOM: Readonly<Record<string, number>> = {
  tinytext: 2 ** 8,
  text: 2 ** 16,
  mediumtext: 2 ** 24,
  longtext: 2 ** 32,
}
const BLOBS: Readonly<Record<string, number>> = {
  tinyblob: 2 ** 8,
  blob: 2 ** 16,
  mediumblob: 2 ** 24,
  longblob: 2 ** 32,
}

function isLongerText(before: CatalogColumn, now: CatalogColumn): boolean {
  if (before.charset !== now.charset && !(before.charset === 'utf8mb3' && now.charset === 'utf8mb4')) return false
  const [from, to] = [before, now].map(({ nativeName }) => ROOM[nativeName] ?? BLOBS[nativeName])
  if (to !== undefined) {
    const isText = /(text|char)$/.test(before.nativeName)
    if (!isText && !/(blob|binary)$/.test(before.nativeName)) return false
    return to >= (from ?? 2 ** 16) && isText === now.nativeName in ROOM
  }
  const isSame = before.nativeName === now.nativeName && /^(var)?char$|^varbinary$/.test(now.nativeName)
  return (isSame || (before.nativeName === 'char' && now.nativeName === 'varchar')) && sizeOf(now) >= sizeOf(before)
}

function hasMoreLabels(before: CatalogColumn, now: CatalogColumn): boolean {
  if (before.nativeName !== now.nativeName || !/^(enum|set)$/.test(now.nativeName)) return false
  if (before.charset !== now.charset) return false
  const labels = labelsOf(now.nativeType)
  return labelsOf(before.nativeType).every((label, place) => labels[place] === label)
}

function isFinerTime(before: CatalogColumn, now: CatalogColumn): boolean {
  const isTime = /^(time|datetime|timestamp)$/.test(now.nativeName)
  return isTime && before.nativeName === now.nativeName && now.timeDigits >= before.timeDigits
}

function sizeOf({ nativeType }: CatalogColumn): number {
  return Number(/\((\d+)\)/.exec(nativeType)?.[1] ?? 0)
}
