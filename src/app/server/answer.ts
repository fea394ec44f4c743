import { fail } from '../../core/errors.ts'
import { ident, rawSql } from '../../core/sql.ts'
import type { Cell, Engine, MaskedTable, PeopleView, Transaction } from '../../services/engine/contract.ts'
import { databasePlace, peopleView, type OpenProject } from '../project.ts'
import { answerBytesMax } from './answer-limits.ts'
import type { Channel, Message } from './wire.ts'

/** Text of one line of rows, about: a page of wide rows goes in several. */
const LINE_CHARS = 1024 * 1024
/** A command that opened a view of the database and asks nothing for so long loses it. */
const IDLE_MS_MAX = 60_000

/** A request that is being answered. */
interface Asked {
  readonly channel: Channel
  readonly request: Message
  readonly signal: AbortSignal
}

/** Answers one query: columns, pages of rows, the end. People's queries see what the configuration lets people see. */
export async function answerQuery(
  open: OpenProject,
  engine: Engine,
  { channel, request, signal }: Asked,
): Promise<void> {
  const statement = rawSql(textIn(request, 'sql'))
  await engine.read(signal, tx => refuseEmpty(open, tx))
  const masked = maskedIn(request)
  const isPeople = request['people'] !== false
  const asked = isPeople ? engine.forPeople(tx => viewFor(open, tx, masked)) : engine
  const result = await asked.query(statement, signal)
  const pages = result.pages[Symbol.asyncIterator]()
  try {
    await channel.send({ columns: result.columns })
    for (let page = await pages.next(); page.done !== true; page = await pages.next()) {
      await sendRows(channel, page.value)
    }
  } finally {
    // Also when the asker went before the first of them: its view would keep every checkpoint waiting.
    await pages.return?.()
  }
  await channel.send({ done: true })
}

/** What people see here, and no more than what the configuration of the asking command lets them see. */
async function viewFor(open: OpenProject, tx: Transaction, more: readonly MaskedTable[]): Promise<PeopleView> {
  const own = await peopleView(open.project, tx)
  return { ...own, masked: [...own.masked, ...more] }
}

/** Answers the statements of a command that only reads, all in one view of the database, until it has enough. */
export async function answerRead(open: OpenProject, engine: Engine, { channel, signal }: Asked): Promise<void> {
  await engine.read(signal, async tx => {
    await refuseEmpty(open, tx)
    await channel.send({ ready: true })
    for (;;) {
      const call = await channel.receive(IDLE_MS_MAX, signal)
      if (call === null || call['end'] === true) return
      await answerCall(channel, tx, call)
    }
  })
  await channel.send({ done: true })
}

async function answerCall(channel: Channel, tx: Transaction, call: Message): Promise<void> {
  if ('rows' in call) {
    const rows = await tx.rows(rawSql(textIn(call, 'rows')))
    const names = Object.keys(rows[0] ?? {})
    await sendRows(
      channel,
      rows.map(row => names.map(name => row[name] ?? null)),
    )
    return channel.send({ answer: names })
  }
  const table = ident(...namesIn(call['table']))
  if (call['what'] === 'exists') return channel.send({ answer: await tx.exists(table) })
  if (call['what'] === 'columns') return channel.send({ answer: await tx.columns(table) })
  throw fail('SERVER_REQUEST', { problem: 'it is no call of a reader' })
}

/** Nothing can be read before the first run has made its tables. */
async function refuseEmpty(open: OpenProject, tx: Transaction): Promise<void> {
  if (!(await tx.exists(ident('naru', 'run')))) throw fail('DATABASE_MISSING', { path: databasePlace(open) })
}

async function sendRows(channel: Channel, page: readonly (readonly Cell[])[]): Promise<void> {
  let line: (readonly Cell[])[] = []
  let chars = 0
  for (const row of page) {
    const rowChars = charsOf(row)
    // Six bytes are the longest spelling of a character in JSON.
    if (rowChars * 6 > answerBytesMax) throw fail('SERVER_ANSWER', { bytes: answerBytesMax / 6 })
    if (chars + rowChars > LINE_CHARS && line.length > 0) {
      await channel.send({ page: line })
      ;[line, chars] = [[], 0]
    }
    line.push(row)
    chars += rowChars
  }
  if (line.length > 0) await channel.send({ page: line })
}

function charsOf(cell: Cell): number {
  if (typeof cell === 'string') return cell.length
  return Array.isArray(cell) ? cell.reduce<number>((sum, inner: Cell) => sum + charsOf(inner), 0) : 20
}

function textIn(message: Message, name: string): string {
  const value = message[name]
  if (typeof value !== 'string') throw fail('SERVER_REQUEST', { problem: `"${name}" is no text` })
  return value
}

function namesIn(value: unknown): string[] {
  if (Array.isArray(value) && value.length > 0 && value.every(it => typeof it === 'string')) return value
  throw fail('SERVER_REQUEST', { problem: '"table" is no list of names' })
}

function maskedIn({ masked = [] }: Message): readonly MaskedTable[] {
  const isText = (it: unknown): it is string => typeof it === 'string'
  if (!Array.isArray(masked)) throw fail('SERVER_REQUEST', { problem: '"masked" is no list' })
  return masked.map((it: Partial<MaskedTable>) => {
    const { schema, table, columns } = it
    if (isText(schema) && isText(table) && Array.isArray(columns) && columns.every(isText))
      return { schema, table, columns }
    throw fail('SERVER_REQUEST', { problem: '"masked" holds what is no table with columns' })
  })
}
