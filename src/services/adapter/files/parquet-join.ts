import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { readStruct, writeStruct, type List, type Struct, type Value } from './thrift.ts'

const MAGIC = Buffer.from('PAR1')
/** Length of the facts in four bytes, and the magic. */
const TAIL_BYTES = 8
const PIECE_BYTES = 1 << 20

// Numbers of the fields in Parquet's own definition of its facts.
const FILE = { schema: 2, rows: 3, groups: 4 }
const GROUP = { columns: 1, at: 5, ordinal: 7 }
const COLUMN = { at: 2, facts: 3, offsetIndex: 4, columnIndex: 6 }
const FACTS = { dataPage: 9, indexPage: 10, dictionaryPage: 11, bloomFilter: 14 }

/**
 * The bytes of one Parquet file that has the row groups of `files`, in their order: what lies in them is copied, not
 * decoded. All must have been written by one statement's columns; there must be one file at least.
 */
export async function* joinParquet(env: Env, files: readonly string[]): AsyncGenerator<Uint8Array, void> {
  yield MAGIC
  let at = MAGIC.length
  const all: Struct[] = []
  for (const file of files) {
    const handle = await env.files.open(file, 'r')
    try {
      const read = async (from: number, to: number): Promise<Buffer> => {
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(to - from), 0, to - from, from)
        if (bytesRead < to - from) throw fail('INTERNAL', { what: `the staged file ${file} became shorter` })
        return buffer
      }
      const { size } = await handle.stat()
      const tail = await read(size - TAIL_BYTES, size)
      if (!tail.subarray(4).equals(MAGIC)) throw fail('INTERNAL', { what: `the staged file ${file} is not Parquet` })
      const end = size - TAIL_BYTES - tail.readUInt32LE(0)
      all.push(movedFile(readStruct(await read(end, size - TAIL_BYTES)), BigInt(at - MAGIC.length)))
      for (let from = MAGIC.length; from < end; from += PIECE_BYTES) yield read(from, Math.min(from + PIECE_BYTES, end))
      at += end - MAGIC.length
    } finally {
      await handle.close()
    }
  }
  const facts = writeStruct(joined(all))
  const tail = Buffer.alloc(TAIL_BYTES)
  tail.writeUInt32LE(facts.length, 0)
  MAGIC.copy(tail, 4)
  yield facts
  yield tail
}

/** The facts of the first file with the rows and groups of all. */
function joined(all: readonly Struct[]): Struct {
  const [first = []] = all
  const schema = writeStruct(first.filter(({ id }) => id === FILE.schema))
  for (const one of all) {
    const same = writeStruct(one.filter(({ id }) => id === FILE.schema)).equals(schema)
    if (!same) throw fail('INTERNAL', { what: 'staged Parquet files have different columns' })
  }
  const rows = all.reduce((sum, one) => sum + (valueOf(one, FILE.rows) as bigint), 0n)
  const groups = all.flatMap(one => (valueOf(one, FILE.groups) as List).items)
  return changed(
    changed(first, [FILE.rows], () => rows),
    [FILE.groups],
    list => ({ ...(list as List), items: groups }),
  )
}

/** The facts of a file whose bytes lie further behind: every place is given from the start of the file. Its groups are written. */
function movedFile(file: Struct, by: bigint): Struct {
  const move = (value: Value): Value => (value as bigint) + by
  const column = (value: Value): Value =>
    changed(
      // Zero there says that the place is not given.
      changed(value as Struct, [COLUMN.at], place => (place === 0n ? place : move(place))),
      [COLUMN.offsetIndex, COLUMN.columnIndex],
      move,
    ).map(field => (field.id === COLUMN.facts ? { ...field, value: moveFacts(field.value as Struct) } : field))
  const moveFacts = (facts: Struct): Struct => changed(facts, Object.values(FACTS), move)
  const group = (value: Value): Value => {
    const numbered = (value as Struct).filter(({ id }) => id !== GROUP.ordinal)
    // Of a large table there are thousands: as bytes they take little memory.
    return writeStruct(
      changed(changed(numbered, [GROUP.at], move), [GROUP.columns], list => each(list as List, column)),
    )
  }
  return changed(file, [FILE.groups], list => each(list as List, group))
}

function each(list: List, change: (value: Value) => Value): List {
  return { ...list, items: list.items.map(change) }
}

function changed(struct: Struct, ids: readonly number[], change: (value: Value) => Value): Struct {
  return struct.map(field => (ids.includes(field.id) ? { ...field, value: change(field.value) } : field))
}

function valueOf(struct: Struct, id: number): Value {
  return struct.find(field => field.id === id)?.value ?? null
}
