import { appendFile, readFile, rm } from 'node:fs/promises'
import { changeOp, type ChangeSlice, type TableChanges } from '../../core/change-slice.ts'
import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import { readOptions } from '../../core/implementation.ts'
import type { ColumnDef } from '../../core/types.ts'
import { limitsOf } from '../../services/adapter/options.ts'
import type { AdapterOpening, OpenAdapter, Snapshot } from '../../services/adapter/contract.ts'
import type { Captures, CaptureRequest, ChangeStream, SchemaChange } from '../../services/adapter/contract-capture.ts'
import { batchOf, type TestValue } from '../suite/batches.ts'
import { scriptedCaptures } from './index.ts'
import { readStory, stateAt, type StoryChange, type StoryLine, type StoryRow, type StoryValue } from './story.ts'

interface Scripted {
  readonly env: Env
  readonly source: string
  readonly story: string
  readonly confirmed: string | undefined
  readonly meanwhile: string | undefined
  readonly sliceLines: number
  readonly sliceRows: number
  readonly breaksAfter: number
  readonly loses: number
  readonly lateViews: number
}

/** Pause before the file is looked at again. */
const pollMs = 2
/** A sign of life comes after so many looks without anything new. */
const quietPolls = 25

export const openAdapter: OpenAdapter = async given => {
  const options = readOptions(scriptedCaptures.options, given.options, `source "${given.source}"`)
  const at: Scripted = { ...options, env: given.env, source: given.source }
  return {
    kind: 'scripted',
    tables: {
      can: { snapshot: true, chunks: true, range: false, totals: false },
      limits: limitsOf(
        { ...given.options, chunkRows: options.chunkRows, rowsPerSecond: 0, connections: 1 },
        given.source,
      ),
      openSnapshot: async () => snapshotOf(given, at),
    },
    captures: { log: capturesOf(at) },
    close: async () => {},
  }
}

async function snapshotOf({ env }: AdapterOpening, at: Scripted): Promise<Snapshot> {
  const story = await readStory(at.story)
  const shown = story.lines.length - at.lateViews
  const { shape, rows } = stateAt(story, shown)
  const sorted = (table: string): readonly StoryRow[] => {
    const key = shape.get(table)?.key[0] as string
    return [...(rows.get(table) ?? new Map<string, StoryRow>()).values()].sort(
      (a, b) => Number(a[key]) - Number(b[key]),
    )
  }
  const keyOf = (table: string, row: StoryRow): number => Number(row[shape.get(table)?.key[0] as string])
  return {
    takenAtMicros: env.clock.nowMicros(),
    horizonMicros: null,
    ...(at.lateViews > 0 ? { includes: (transaction: bigint) => transaction <= BigInt(shown) } : {}),
    look: async remote => {
      const found = shape.get(remote)
      if (found === undefined) throw fail('SOURCE_TABLE_GONE', { source: at.source, table: remote })
      const columns = found.columns.map(column => ({ ...column, nativeType: column.type.kind }))
      return { name: remote, columns, key: found.key, rowsEstimate: null, denied: [] }
    },
    boundary: async ({ remote }, after, count) => {
      const rest = sorted(remote).filter(row => after === undefined || keyOf(remote, row) > Number(after[0]))
      return rest.length <= count ? null : [String(keyOf(remote, rest[count - 1] as StoryRow))]
    },
    async *read({ remote }, names, { after, upTo }) {
      const columns = names.map(name => shape.get(remote)?.columns.find(column => column.name === name) as ColumnDef)
      const found = sorted(remote).filter(
        row =>
          (after === undefined || keyOf(remote, row) > Number(after[0])) &&
          (upTo === undefined || keyOf(remote, row) <= Number(upTo[0])),
      )
      await happenMeanwhile(at)
      yield { batch: batchOf(columns, valuesOf(columns, found)), rejects: [] }
    },
    totals: () => Promise.reject(fail('INTERNAL', { what: 'a story was asked for totals' })),
    close: async () => {},
  }
}

/** What is added to the story is not in the view that is being read. */
async function happenMeanwhile({ story, meanwhile }: Scripted): Promise<void> {
  const lines = meanwhile === undefined ? '' : await readFile(meanwhile, 'utf8').catch(() => '')
  if (meanwhile === undefined || lines === '') return
  await rm(meanwhile)
  await appendFile(story, lines)
}

function valuesOf(columns: readonly ColumnDef[], rows: readonly (StoryRow | undefined)[]): readonly TestValue[][] {
  return columns.map(column => rows.map(row => testValue(column, row?.[column.name] ?? null)))
}

function testValue({ type }: ColumnDef, value: StoryValue): TestValue {
  if (value === null || typeof value === 'boolean') return value
  const isWhole = type.kind !== 'float' && typeof value === 'number'
  return isWhole ? BigInt(value) : value
}

function capturesOf(at: Scripted): Captures {
  const position = async (count?: number): Promise<string> => {
    const story = await readStory(at.story)
    return `${story.id}:${String(count ?? story.lines.length).padStart(6, '0')}`
  }
  return {
    can: { deletes: true, everyVersion: true, silentWriters: true, transactions: true, truncates: true },
    inspect: async () => [],
    install: () => position(),
    script: () => ({ install: [], remove: [] }),
    remove: async () => {},
    head: () => position(),
    compare: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
    open: (request, signal) => openStream(at, request, signal),
  }
}

/** A transaction of the story, by its place in it. */
interface Told {
  readonly at: number
  readonly changes: readonly StoryChange[]
  readonly number: number
}

async function openStream(at: Scripted, request: CaptureRequest, signal: AbortSignal): Promise<ChangeStream> {
  const { id } = await readStory(at.story)
  const [of, count] = request.from.split(':')
  if (of !== id) {
    throw fail('POSITION_LOST', { source: at.source, technique: 'log', problem: `${request.from} is of another log` })
  }
  const ending = new AbortController()
  const waiting = AbortSignal.any([signal, ending.signal])
  let next = Number(count)
  let given = 0
  const queue: (ChangeSlice | SchemaChange)[] = []

  /** Slices of the next transactions; a schema change comes alone. */
  const fill = async (): Promise<void> => {
    const story = await readStory(at.story)
    const lines: Told[] = []
    while (lines.length < at.sliceLines) {
      const line: StoryLine | undefined = story.lines[next]
      if (line === undefined || ('schema' in line && lines.length > 0)) break
      next += 1
      if ('schema' in line) {
        const { table, columns, key, unseen } = line.schema
        queue.push({ kind: 'schema', table, position: positionOf(id, next), columns, key, unseen })
        return
      }
      lines.push({ ...line, ...(next === at.loses ? { changes: [] } : {}), number: next })
    }
    if (lines.length === 0) return
    const { shape } = stateAt(story, next)
    const asked = (table: string): readonly ColumnDef[] => {
      const wanted = request.tables.find(it => it.name === table)?.columns.map(column => column.name) ?? []
      return shape.get(table)?.columns.filter(column => wanted.includes(column.name)) ?? []
    }
    queue.push(...slicesOf(lines, { position: positionOf(id, next), sliceRows: at.sliceRows, asked }))
  }

  return {
    next: async () => {
      for (let polls = 0; queue.length === 0; polls++) {
        waiting.throwIfAborted()
        await fill()
        if (polls >= quietPolls) queue.push(signOfLife(positionOf(id, next), at.env.clock.nowMicros()))
        if (queue.length === 0) await at.env.clock.sleep(pollMs, waiting)
      }
      given += 1
      if (at.breaksAfter > 0 && given > at.breaksAfter) {
        throw fail('SOURCE_UNREACHABLE', { source: at.source, address: 'story', problem: 'the connection ended' })
      }
      return queue.shift() as ChangeSlice | SchemaChange
    },
    confirm: async position => {
      if (at.confirmed !== undefined) await appendFile(at.confirmed, `${position}\n`)
    },
    lag: async () => ({ bytes: null, bytesLeft: null, trouble: null }),
    close: async () => ending.abort(fail('CANCELLED', { what: 'a story' })),
  }
}

function positionOf(id: string, count: number): string {
  return `${id}:${String(count).padStart(6, '0')}`
}

function signOfLife(position: string, committedMicros: bigint): ChangeSlice {
  const transactions = { ids: new BigInt64Array(), ends: new Uint32Array(), committedMicros: new BigInt64Array() }
  return { position, committedMicros, tables: [], transactions, messages: [] }
}

/** A transaction that is larger than a slice comes in several, of which only the last has a position. */
function slicesOf(
  lines: readonly Told[],
  given: {
    readonly position: string
    readonly sliceRows: number
    readonly asked: (table: string) => readonly ColumnDef[]
  },
): readonly ChangeSlice[] {
  const all = lines.flatMap(line => line.changes).filter(({ table }) => given.asked(table).length > 0)
  const pieces: StoryChange[][] = [[]]
  for (const change of all) {
    const last = pieces.at(-1) as StoryChange[]
    // A row under a new key comes directly behind the delete of the old one.
    if (last.length >= given.sliceRows && change.op !== 'move') pieces.push([change])
    else last.push(change)
  }
  const isWhole = pieces.length === 1
  let end = 0
  const ends = lines.map(line => (end += line.changes.filter(({ table }) => given.asked(table).length > 0).length))
  return pieces.map((changes, i) => {
    const isLast = i === pieces.length - 1
    const newest = BigInt((lines.at(-1) as { at: number }).at)
    return {
      position: isLast ? given.position : null,
      committedMicros: isLast ? newest : null,
      tables: [...new Set(changes.map(({ table }) => table))].map(table =>
        tableChanges(table, changes, given.asked(table)),
      ),
      transactions: {
        ids: BigInt64Array.from(isWhole ? lines : [], line => BigInt(line.number)),
        ends: Uint32Array.from(isWhole ? ends : []),
        committedMicros: BigInt64Array.from(isWhole ? lines : [], line => BigInt(line.at)),
      },
      messages: [],
    }
  })
}

function tableChanges(table: string, changes: readonly StoryChange[], columns: readonly ColumnDef[]): TableChanges {
  const own = changes.map((change, order) => ({ change, order })).filter(({ change }) => change.table === table)
  const rows = own.map(({ change }) => change.row)
  const unchanged = columns.map(({ name }) => {
    const bits = new Uint8Array((own.length + 7) >> 3)
    own.forEach(({ change }, i) => {
      const isRow = change.op === 'update' || change.op === 'move'
      if (isRow && change.row?.[name] === undefined) bits[i >> 3] = (bits[i >> 3] as number) | (1 << (i & 7))
    })
    return bits.some(byte => byte !== 0) ? bits : null
  })
  return {
    table,
    columns,
    rows: batchOf(columns, valuesOf(columns, rows)),
    ops: Uint8Array.from(own, ({ change }) => changeOp[change.op]),
    order: Uint32Array.from(own, ({ order }) => order),
    unchanged,
  }
}
