import { isNaruError, fail, limitsOf, readOptions, CellBatches, type Snapshot } from 'naru/adapter'
import type { AdapterOpening, ColumnDef, OpenAdapter, RowFilter, TableDescription, Value } from 'naru/adapter'
import path from 'node:path'
import { tsv } from './index.ts'

/** What is read, and through which door. */
interface Folder {
  readonly source: string
  readonly folder: string
  readonly maxValueBytes: number
  readonly env: AdapterOpening['env']
}

export const openAdapter: OpenAdapter = async given => {
  const options = readOptions(tsv.options, given.options, `source "${given.source}"`)
  const folder = path.resolve(given.configDir, options.folder)
  const at: Folder = { source: given.source, env: given.env, folder, maxValueBytes: options.maxValueBytes }
  return {
    kind: 'tsv',
    describes: { describe: () => about(at, '.', () => describeAll(at)) },
    tables: {
      // What it claims, the suite checks. A file may change while it is read, and is read in one piece.
      can: { snapshot: false, chunks: false, range: false, totals: false },
      limits: limitsOf({ ...given.options, chunkRows: 1_000_000_000, connections: 1 }, given.source),
      openSnapshot: async () => snapshotOf(at),
    },
    close: async () => {},
  }
}

function snapshotOf(at: Folder): Snapshot {
  return {
    takenAtMicros: at.env.clock.nowMicros(),
    horizonMicros: null,
    look: async remote => ({ ...(await about(at, remote, () => describe(at, remote))), denied: [] }),
    boundary: async () => null,
    async *read(table, columns, filter, signal) {
      refuseFilter(at, table.remote, filter)
      const described = await about(at, table.remote, () => describe(at, table.remote))
      const places = columns.map(name => described.columns.findIndex(column => column.name === name))
      const wanted = columns.map(name => table.columns.find(column => column.name === name) as ColumnDef)
      const batches = new CellBatches(wanted, table.key, at.maxValueBytes)
      for await (const line of linesOf(at, table.remote)) {
        if (signal.aborted) throw fail('CANCELLED', { what: `reading "${table.remote}"` }, { cause: signal.reason })
        const cells = line.split('\t')
        batches.add(places.map(place => cellOf(cells[place])))
        if (batches.full) yield batches.take()
      }
      if (!batches.empty) yield batches.take()
    },
    totals: () => Promise.reject(fail('INTERNAL', { what: 'a folder was asked for totals' })),
    close: async () => {},
  }
}

/** A filter that is passed over would give rows that nobody asked for. */
function refuseFilter({ source }: Folder, table: string, { since, changed, range, where }: RowFilter): void {
  for (const { column } of changed ?? []) throw fail('SINCE_UNSUPPORTED', { source, table, column })
  if (since !== undefined) throw fail('SINCE_UNSUPPORTED', { source, table, column: since.column })
  if (range !== undefined) throw fail('RANGE_UNSUPPORTED', { source, table, column: range.column })
  const problem = 'a folder of files has no conditions'
  if (where !== undefined) throw fail('OPTION_INVALID', { where: `source "${source}"`, option: 'where', problem })
}

/** The lines behind the header, one at a time: memory stays flat. */
async function* linesOf(at: Folder, remote: string): AsyncGenerator<string> {
  const handle = await about(at, remote, () => at.env.files.open(fileOf(at, remote)))
  try {
    let isHeader = true
    for await (const line of handle.readLines()) {
      if (!isHeader) yield line
      isHeader = false
    }
  } finally {
    await handle.close()
  }
}

const escapes: Readonly<Record<string, string>> = { '\\t': '\t', '\\n': '\n', '\\\\': '\\' }

/** Text becomes a typed cell in `CellBatches`, exactly or as a reject. `\N` is NULL. */
function cellOf(text: string | undefined): Value {
  if (text === undefined || text === '\\N') return null
  return { text: Buffer.from(text.replaceAll(/\\[tn\\]/g, found => escapes[found] as string)) }
}

const types: Readonly<Record<string, ColumnDef['type']>> = {
  text: { kind: 'text' },
  int: { kind: 'int', bits: 32 },
  big: { kind: 'int', bits: 64 },
  money: { kind: 'decimal', precision: 18, scale: 2 },
  date: { kind: 'date' },
  moment: { kind: 'timestamp', zoned: true },
}

/** `id:big!` is a column that is never NULL, `id:big!key` one of the key. */
async function describe(at: Folder, remote: string): Promise<TableDescription> {
  const handle = await at.env.files.open(fileOf(at, remote))
  const [header = ''] = (await handle.read(Buffer.alloc(65_536), 0, 65_536, 0)).buffer.toString('utf8').split('\n', 1)
  await handle.close()
  const key: string[] = []
  const columns = header.split('\t').map(field => {
    const [, name, nativeType, mark] = /^(\w+):(\w+)(!|!key)?$/.exec(field) ?? []
    const type = types[nativeType ?? '']
    if (name === undefined || nativeType === undefined || type === undefined) {
      throw fail('SOURCE_READ', { source: at.source, table: remote, problem: `"${field}" is no column of a header` })
    }
    if (mark === '!key') key.push(name)
    return { name, type, nativeType, nullable: mark === undefined, personal: false }
  })
  return { name: remote, columns, key, rowsEstimate: null }
}

async function describeAll(at: Folder): Promise<readonly TableDescription[]> {
  const names = (await at.env.files.readdir(at.folder)).filter(name => name.endsWith('.tsv')).sort()
  return Promise.all(names.map(name => describe(at, name.slice(0, -'.tsv'.length))))
}

function fileOf(at: Folder, remote: string): string {
  if (!/^\w+$/.test(remote)) throw fail('SOURCE_TABLE_GONE', { source: at.source, table: remote })
  return path.join(at.folder, `${remote}.tsv`)
}

/** Every fault of the system becomes an error of the table: what happened, to which object, and what to do next. */
async function about<T>(at: Folder, remote: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (isNaruError(error)) throw error
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && remote !== '.') throw fail('SOURCE_TABLE_GONE', { source: at.source, table: remote })
    throw fail('SOURCE_UNREACHABLE', { source: at.source, address: at.folder, problem: message }, { cause: error })
  }
}
