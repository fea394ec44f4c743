import type { ColumnDef } from '../../core/types.ts'
import type { Value } from './batches.ts'
import { eachMember, JsonFault, kindOf, textBytes, type Slice } from './json-scan.ts'

const BACKSLASH = 0x5c

/** Where a column's value stands in a record: the names of members on the way to it. */
export interface FieldPath {
  readonly column: ColumnDef
  readonly path: readonly string[]
}

/** Members on the way to the fields, as a tree: each object is gone through once. */
type Tree = Map<string, Node>

interface Node {
  /** The name as it stands in most records: compared byte by byte, which is cheaper than reading it. */
  readonly name: Uint8Array
  readonly fields: number[]
  readonly below: Tree
  /** The number of the object that it was last seen in: twice in one object is a fault of the record. */
  seenIn: number
}

/**
 * Makes a reader of records: the value of each field, in their order. Numbers keep their digits: nothing is parsed here.
 * A member that stands twice, also one on the way to a field, makes every field below it a misfit: which of the two counts
 * differs between readers of JSON.
 */
export function recordReader(fields: readonly FieldPath[]): (bytes: Uint8Array, record: Slice) => Value[] {
  const tree: Tree = new Map()
  for (const [index, { path }] of fields.entries()) plant(tree, path, index)
  let objects = 0
  return (bytes, record) => {
    // A path without names is the record itself: an element of a list that is no object.
    const values = fields.map(({ column, path }) => (path.length === 0 ? valueOf(column, bytes, record) : null))
    const spoil = ({ fields: found, below }: Node, content: Uint8Array): void => {
      for (const field of found) values[field] = { misfit: 'stands twice in its record', content }
      for (const node of below.values()) spoil(node, content)
    }
    const walk = (object: Slice, members: Tree): void => {
      if (kindOf(bytes, object) !== 'object') return
      const number = ++objects
      eachMember(bytes, object.start, (name, value) => {
        const node = nodeOf(bytes, name, members)
        if (node === undefined) return
        if (node.seenIn === number) return spoil(node, raw(bytes, value))
        node.seenIn = number
        for (const field of node.fields) values[field] = valueOf((fields[field] as FieldPath).column, bytes, value)
        if (node.below.size > 0) walk(value, node.below)
      })
    }
    walk(record, tree)
    return values
  }
}

function plant(tree: Tree, [name, ...rest]: readonly string[], field: number): void {
  if (name === undefined) return
  const node: Node = tree.get(name) ?? { name: Buffer.from(name), fields: [], below: new Map(), seenIn: 0 }
  tree.set(name, node)
  if (rest.length === 0) node.fields.push(field)
  else plant(node.below, rest, field)
}

function nodeOf(bytes: Uint8Array, { start, end }: Slice, tree: Tree): Node | undefined {
  const length = end - start - 2
  for (const node of tree.values()) {
    if (node.name.length === length && isAt(bytes, start + 1, node.name)) return node
  }
  // Written with escapes, it is longer than what it means.
  return bytes.subarray(start, end).includes(BACKSLASH) ? tree.get(nameOf(bytes, { start, end })) : undefined
}

function isAt(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name[i]) return false
  return true
}

/** The value that a path leads to, or `null`. Throws `JsonFault` where a member on the way stands twice. */
export function valueAt(bytes: Uint8Array, from: Slice, path: readonly string[]): Slice | null {
  const [first, ...rest] = path
  if (first === undefined) return from
  if (kindOf(bytes, from) !== 'object') return null
  let found: Slice | null = null
  eachMember(bytes, from.start, (name, value) => {
    if (nameOf(bytes, name) !== first) return
    if (found !== null) throw new JsonFault(`the member "${first.slice(0, 60)}" stands twice`, name.start)
    found = value
  })
  return found === null ? null : valueAt(bytes, found, rest)
}

function nameOf(bytes: Uint8Array, name: Slice): string {
  const text = textBytes(bytes, name)
  return text === null ? '' : Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('utf8')
}

/** The value of a column: a number as its digits, a text as its characters, a list or an object as it is written. */
function valueOf({ type }: ColumnDef, bytes: Uint8Array, value: Slice): Value {
  const kind = kindOf(bytes, value)
  if (kind === 'null') return null
  if (type.kind === 'json') return { text: raw(bytes, value) }
  const misfit = (what: string): Value => ({ misfit: what, content: raw(bytes, value) })
  if (kind === 'list' || kind === 'object') return misfit(`is ${kind === 'list' ? 'a list' : 'an object'}`)
  if (kind === 'text') {
    const text = textBytes(bytes, value)
    if (text === null) return misfit('holds half of a character')
    if (type.kind === 'bool') return misfit('is a text')
    return type.kind === 'bytes' ? base64(text, misfit) : { text }
  }
  // A truth value is one of `bool` only, and a number is no truth value; text takes each as it is written.
  const fits = kind === 'bool' ? type.kind === 'bool' || type.kind === 'text' : type.kind !== 'bool'
  return fits && type.kind !== 'bytes'
    ? { text: raw(bytes, value) }
    : misfit(`is a ${kind === 'bool' ? 'truth value' : kind}`)
}

function base64(text: Uint8Array, misfit: (what: string) => Value): Value {
  const written = Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('latin1')
  const bytes = Buffer.from(written, 'base64')
  return bytes.toString('base64') === written ? { cell: bytes } : misfit('is no base64')
}

function raw(bytes: Uint8Array, { start, end }: Slice): Uint8Array {
  return bytes.subarray(start, end)
}
