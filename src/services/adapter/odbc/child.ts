import { fail, isNaruError, messageOf, type Code } from '../../../core/errors.ts'
import { C, ODBC } from './constants.ts'
import { Fetcher } from './fetch.ts'
import { DriverError, Handles } from './handles.ts'
import { loadLibrary, ManagerMissing, type Library } from './library.ts'
import {
  BATCHES_IN_FLIGHT,
  type Answer,
  type CatalogCall,
  type Failure,
  type Request,
  type Statement,
  type TextRow,
  type ToChild,
} from './messages.ts'
import { bindTexts } from './parameters.ts'

/**
 * The process that a driver runs in. A driver is foreign native code: what it does to memory it does here, and when it
 * hangs, this process is ended and the run goes on. One connection, one request at a time.
 */
let library: Promise<Library> | null = null
let handles: Handles | null = null
let answerMs = 0
let running: bigint | null = null
let isCancelled = false
let credits = 0
let wake: () => void = () => {}

process.on('message', (message: ToChild) => {
  switch (message.kind) {
    case 'start':
      library = loadLibrary(message.configDir, process.platform)
      library.catch(() => {}) // told when the first request needs it
      break
    case 'credit':
      credits++
      wake()
      break
    case 'cancel':
      isCancelled = true
      wake()
      if (running !== null) void handles?.library.SQLCancel.later(running)
      break
    default:
      void answer(message)
  }
})
// The parent is gone: nobody waits for the rest.
process.on('disconnect', () => process.exit(0))

async function answer(request: Request): Promise<void> {
  isCancelled = false
  try {
    send(await perform(request))
  } catch (error) {
    send({ kind: 'failed', failure: failureOf(error) })
  }
}

function send(message: Answer): void {
  process.send?.(message)
}

async function perform(request: Request): Promise<Answer> {
  switch (request.kind) {
    case 'connect': {
      answerMs = request.answerMs
      handles = new Handles(await (library as Promise<Library>), request.isNarrow)
      await handles.connect(request.connection, request.loginMs)
      return { kind: 'connected', info: handles.info() }
    }
    case 'transactions':
      return { kind: 'isolation', level: open().beginTransactions(request.isolations) }
    case 'end':
      open().endTransaction(request.how)
      return { kind: 'done', rows: 0 }
    case 'query':
      return withStatement(request.statement, async statement => ({
        kind: 'rows',
        rows: readTexts(statement, request.skip, request.rowsMax),
      }))
    case 'execute':
      return withStatement(request.statement, async statement => ({ kind: 'done', rows: open().rowCount(statement) }))
    case 'catalog':
      return catalog(request.catalog, request.call)
    case 'read':
      return withStatement(request.job.statement, async statement => {
        credits = BATCHES_IN_FLIGHT
        for await (const batch of new Fetcher(open(), statement, request.job).batches()) {
          await nextCredit()
          if (isCancelled) throw fail('CANCELLED', { what: 'a read' })
          credits--
          send({ kind: 'batch', batch })
        }
        return { kind: 'done', rows: 0 }
      })
    case 'close':
      handles?.close()
      process.disconnect()
      return { kind: 'done', rows: 0 }
  }
}

/** Waits until one more batch may wait for its consumer, or nobody wants it. */
async function nextCredit(): Promise<void> {
  for (;;) {
    if (credits > 0 || isCancelled) return
    await new Promise<void>(resolve => (wake = resolve))
  }
}

function open(): Handles {
  if (handles === null) throw fail('INTERNAL', { what: 'a request came before the connection' })
  return handles
}

async function withStatement(
  { text, values }: Statement,
  body: (statement: bigint) => Promise<Answer>,
): Promise<Answer> {
  const connection = open()
  const statement = connection.statement(answerMs)
  running = statement
  try {
    const kept = bindTexts(connection, statement, values)
    const result = await connection.narrowOrWide('SQLExecDirect').later(statement, ...connection.text(text))
    connection.checkStatement(result, statement)
    const done = await body(statement)
    kept.length = 0
    return done
  } finally {
    running = null
    connection.free(statement)
  }
}

async function catalog(catalogName: string | null, call: CatalogCall): Promise<Answer> {
  const connection = open()
  const statement = connection.statement(answerMs)
  running = statement
  try {
    connection.checkStatement(callCatalog(connection, statement, catalogName, call), statement)
    return { kind: 'rows', rows: readTexts(statement, 0, Infinity) }
  } finally {
    running = null
    connection.free(statement)
  }
}

function callCatalog(handles: Handles, statement: bigint, catalogName: string | null, call: CatalogCall): number {
  const name = (text: string | null): readonly [Buffer | null, number] =>
    text === null ? [null, 0] : handles.text(text)
  const within = name(catalogName)
  switch (call.kind) {
    case 'tables':
      return handles.narrowOrWide('SQLTables')(statement, ...within, null, 0, null, 0, ...name('TABLE,VIEW'))
    case 'columns':
      return handles.narrowOrWide('SQLColumns')(
        statement,
        ...within,
        ...name(call.schema),
        ...name(call.table),
        null,
        0,
      )
    case 'primaryKeys':
      return handles.narrowOrWide('SQLPrimaryKeys')(statement, ...within, ...name(call.schema), ...name(call.table))
    case 'uniqueIndexes':
      return handles.narrowOrWide('SQLStatistics')(
        statement,
        ...within,
        ...name(call.schema),
        ...name(call.table),
        0,
        1,
      )
  }
}

/** Most bytes of one value of a small result. */
const TEXT_BYTES_MAX = 4 << 20

/** Rows of a small result as text, after `skip` rows that are passed over. */
function readTexts(statement: bigint, skip: number, rowsMax: number): readonly TextRow[] {
  const { library } = open()
  const check = (result: number): boolean => open().checkStatement(result, statement)
  const columns = Buffer.alloc(2)
  check(library.SQLNumResultCols(statement, columns))
  const rows: TextRow[] = []
  for (let passed = 0; rows.length < rowsMax && check(library.SQLFetch(statement)); passed++) {
    if (passed < skip) continue
    rows.push(Array.from({ length: columns.readInt16LE() }, (_, i) => readText(statement, i + 1)))
  }
  return rows
}

function readText(statement: bigint, column: number): string | null {
  const { library, isNarrow } = open()
  const [cType, ending, encoding] = isNarrow ? ([C.CHAR, 1, 'utf8'] as const) : ([C.WCHAR, 2, 'utf16le'] as const)
  const length = Buffer.alloc(8)
  const parts: Buffer[] = []
  for (let bytes = 0; ;) {
    const part = Buffer.alloc(4096)
    const result = library.SQLGetData(statement, column, cType, part, part.length, length)
    if (!open().checkStatement(result, statement)) break
    const left = length.readInt32LE()
    if (left === ODBC.NULL_DATA) return null
    const isLast = left >= 0 && left <= part.length - ending
    parts.push(part.subarray(0, isLast ? left : part.length - ending))
    bytes += part.length
    if (isLast) break
    if (bytes > TEXT_BYTES_MAX) throw new Error('a value of a small result has more than 4 MiB')
  }
  return Buffer.concat(parts).toString(encoding)
}

const reasons: Partial<Record<Code, Failure['reason']>> = { DRIVER_MISSING: 'package-missing', CANCELLED: 'cancelled' }

function failureOf(error: unknown): Failure {
  const message = messageOf(error)
  if (isCancelled) return { reason: 'cancelled', state: '', message }
  if (error instanceof DriverError) return { reason: 'driver', state: error.state, message }
  if (error instanceof ManagerMissing) return { reason: 'manager-missing', state: '', message }
  const reason = isNaruError(error) ? reasons[error.code] : undefined
  return { reason: reason ?? 'other', state: '', message }
}
