import { fail, isNaruError } from '../../core/errors.ts'
import { typeText } from '../../core/types.ts'
import type { Describes, Snapshot, TableNow, TableShape } from '../../services/adapter/contract.ts'
import type { Address } from './address.ts'
import { incrementOf, takesEachOnce, type Increment } from './increment.ts'
import type { Given, Moving } from './moving.ts'

/** Both ends open, and nothing asked yet. */
interface Open extends Omit<Moving, 'shape' | 'key' | 'rowsEstimate' | 'validation' | 'filter' | 'increment'> {
  readonly describes: Describes | undefined
}

/** Looks at the source and holds what was asked for against it, before anything is made. Throws errors of use by flag. */
export async function prepare(open: Open): Promise<Moving> {
  const { request, from, to, writes, reads } = open
  if (request.mode !== 'insert' && request.mode !== 'replace' && !writes.can.modes.includes(request.mode)) {
    throw fail('TRANSFER_CANNOT', { system: to.text, what: `be written with --mode ${request.mode}` })
  }
  if (request.mode === 'call') assertCall(request)
  const [odd] = Object.keys(request.file)
  if (odd !== undefined && to.system.adapter !== 'files') {
    throw fail('TRANSFER_CANNOT', { system: to.text, what: `be written with ${odd}, which is of files` })
  }
  const now = await lookAtSource(open)
  const columns = chosen(now, request.columns)
  for (const { name, type } of columns) {
    if (writes.typeName(type) !== null) continue
    throw fail('TRANSFER_TYPE', { column: name, type: typeText(type), system: to.text })
  }
  if (request.splitBy.length > 0 && !reads.can.chunks) {
    throw fail('TRANSFER_CANNOT', { system: from.text, what: 'be cut by --split-by: it is read in one piece' })
  }
  const splitBy = request.splitBy.length > 0 ? request.splitBy : now.key
  assertColumns(now, '--split-by', splitBy)
  // A row of the target is found by what is written.
  assertColumns({ ...now, columns }, '--key', request.key)
  const shape: TableShape = { remote: now.name, columns, key: reads.can.chunks ? splitBy : [] }
  const names = columns.map(column => column.name)
  const ownKey = request.mode !== 'call' && now.key.every(name => names.includes(name)) ? now.key : []
  const key = request.key.length > 0 ? request.key : ownKey
  if (key.length === 0 && !['insert', 'replace', 'call'].includes(request.mode)) {
    throw fail('TRANSFER_CANNOT', {
      system: from.text,
      what: `tell the key for --mode ${request.mode}: name it with --key`,
    })
  }
  const increment = await incrementIn(open, shape)
  const filter = { where: request.where ?? undefined, ...increment?.filter }
  const validation = request.validate ?? (reads.can.totals && writes.can.totals ? 'totals' : 'count')
  const isWhole = request.where === null && request.query === null && (increment === null || increment.last === null)
  // Chunks of a whole table, with a few new rows in one of them, would ask the source for each.
  const cut = increment === null || increment.last === null ? shape : { ...shape, key: [] }
  return { ...open, shape: cut, key, rowsEstimate: isWhole ? now.rowsEstimate : null, validation, filter, increment }
}

/** A procedure has no rows of its own: nothing is looked for by key, and none is made. */
function assertCall({ key, create, missed }: Moving['request']): void {
  const odd = create ? '--create' : key.length > 0 ? '--key' : missed === 'report' ? '--missed report' : null
  if (odd !== null) throw fail('USAGE', { problem: `${odd} does not go with --mode call` })
}

async function incrementIn(
  { given, request, snapshot, reads, from }: Open,
  shape: TableShape,
): Promise<Increment | null> {
  if (request.incremental === null) return null
  // Adding rows needs one moment: what came between the look and the read would be read a second time.
  if (!reads.can.totals || !reads.can.range || (takesEachOnce(request.mode) && !reads.can.snapshot)) {
    throw fail('TRANSFER_CANNOT', { system: from.text, what: 'tell what is new in a table' })
  }
  return incrementOf(given.env, { request, snapshot, shape }, given.signal)
}

/** What the query is called among the tables of the source: no table has such a name. */
const queryName = '(query)'

async function lookAtSource(open: Open): Promise<TableNow> {
  const { request, from, snapshot } = open
  if (request.query === null) {
    if (from.table === null) throw fail('TRANSFER_ADDRESS', { address: from.text, problem: 'it names no table' })
    return lookAtTable(open, from.table)
  }
  if (from.table !== null) {
    throw fail('TRANSFER_ADDRESS', { address: from.text, problem: 'with --query it must name no table' })
  }
  return lookAtQuery(snapshot, request.query, from)
}

/** Looks at what a SELECT in the source's own SQL gives; it is read by the name that the answer has. Throws `TRANSFER_CANNOT`. */
export async function lookAtQuery(snapshot: Snapshot, query: string, { text }: Address): Promise<TableNow> {
  if (snapshot.define === undefined) throw fail('TRANSFER_CANNOT', { system: text, what: 'run a query' })
  await snapshot.define(queryName, query)
  return snapshot.look(queryName)
}

/** Tables that an error names. */
const TABLES_NAMED = 20

/** What a table is now; one that is not there ends with `TRANSFER_TABLE` and those that are, where the system knows them. */
export async function lookAtTable(
  {
    from,
    snapshot,
    describes,
    given,
  }: Pick<Open, 'from' | 'snapshot' | 'describes'> & { readonly given: Pick<Given, 'signal'> },
  table: string,
): Promise<TableNow> {
  try {
    return await snapshot.look(table)
  } catch (error) {
    if (describes === undefined || !isNaruError(error, 'SOURCE_TABLE_GONE')) throw error
    const names = (await describes.describe(given.signal)).map(({ name }) => name)
    const more = names.length > TABLES_NAMED ? ` and ${names.length - TABLES_NAMED} more` : ''
    const known = names.length === 0 ? 'none' : names.slice(0, TABLES_NAMED).join(', ') + more
    throw fail('TRANSFER_TABLE', { address: from.system.name, table, known }, { cause: error })
  }
}

function chosen(now: TableNow, names: readonly string[]): TableShape['columns'] {
  const plain = now.columns.map(({ name, type, nullable, personal }) => ({ name, type, nullable, personal }))
  if (names.length === 0) {
    const [denied] = now.denied
    if (denied === undefined) return plain
    // Leaving out what may not be read would be a copy that looks whole.
    throw fail('SOURCE_DENIED', {
      source: now.name,
      object: `column "${denied}"`,
      problem: 'name the other columns with --columns to leave it out',
    })
  }
  assertColumns(now, '--columns', names)
  return names.map(name => plain.find(column => column.name === name) as TableShape['columns'][number])
}

function assertColumns(
  now: Pick<TableShape, 'columns'> & { readonly name: string },
  flag: string,
  names: readonly string[],
): void {
  for (const column of names) {
    if (now.columns.some(it => it.name === column)) continue
    const known = now.columns.map(it => it.name).join(', ')
    throw fail('TRANSFER_COLUMN', { flag, column, table: now.name, known })
  }
}
