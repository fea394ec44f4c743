import { fileEnding } from '../../../core/file-ending.ts'
import type { RemoteFile } from '../contract-files.ts'

/** Files whose names differ in digits only, and in the values of their path: most likely one table. */
export interface Family {
  readonly glob: string
  /** A short name for it: `orders` of `orders_*.csv.gz`. */
  readonly shortName: string
  readonly newest: RemoteFile
}

/** Groups files, which come by time, into families by glob: the last file of each is its newest. */
export function familiesOf(files: readonly RemoteFile[]): readonly Family[] {
  const newest = new Map(files.map(file => [familyGlob(file.name), file]))
  return [...newest].map(([glob, file]) => ({ glob, shortName: shortNameOf(glob), newest: file }))
}

/** `in/day=2026-01-03/orders_2026-01-03.csv` is of the folder `day=*` and the name `orders_*.csv`. */
export function familyGlob(file: string): string {
  const folders = file.split('/')
  const name = folders.pop() as string
  return [...folders.map(folderPattern), name.replaceAll(/\d+(?:[-_]+\d+)*/g, '*')].join('/')
}

/** The value of a hive folder, and a folder that is only digits (`2026/01`), differ from file to file. */
function folderPattern(folder: string): string {
  if (/^\d+(?:[-_]+\d+)*$/.test(folder)) return '*'
  return folder.replace(/^([^=]+)=.*$/s, '$1=*')
}

/** The name of the file without its ending; that of the folder for the parts that engines number. */
function shortNameOf(glob: string): string {
  const parts = glob.split('/').filter(part => !part.includes('='))
  const words = parts.map((part, i) => (i === parts.length - 1 ? withoutEnding(part) : part).replaceAll('*', ' '))
  const plain = words.map(word => word.replaceAll(/[\s_.-]+/g, '_').replaceAll(/^_|_$/g, ''))
  const isNumbered = glob.includes('=') || plain.at(-1) === ''
  const named = (isNumbered ? plain.slice(0, -1).findLast(word => word !== '') : undefined) ?? plain.at(-1) ?? ''
  return named === '' ? fileEnding(glob) || 'file' : named
}

function withoutEnding(name: string): string {
  const ending = fileEnding(name)
  const at = ending === '' ? name.search(/\.[a-z]+$/i) : name.toLowerCase().lastIndexOf(`.${ending}`)
  return at < 0 ? name : name.slice(0, at)
}
