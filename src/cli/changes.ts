import { openFeed, subscribersOf, type OpenedFeed } from '../app/subscribe/open.ts'
import type { FedSet } from '../app/subscribe/feed.ts'
import type { SeenChange, SeenMessage, SeenTable } from '../app/subscribe/rows.ts'
import { fail } from '../core/errors.ts'
import type { Call } from './command.ts'
import { interruption, jsonText, printResult, projectOf } from './context.ts'
import { count, visible } from './format.ts'
import { subscribersText } from './server-text.ts'

const usage = {
  list: 'list',
  pull: 'pull NAME',
  acknowledge: 'acknowledge NAME POSITION',
  release: 'release NAME',
  remove: 'remove NAME',
}

/** `naru changes`: the changes of a source, for a subscriber of the config. */
export async function run(call: Call): Promise<void> {
  const [action = '', ...args] = call.args
  if (!Object.hasOwn(usage, action)) {
    throw fail('USAGE', { problem: `naru changes takes ${Object.values(usage).join(', ')}` })
  }
  const known = action as keyof typeof usage
  const expected = usage[known].split(' ').length - 1
  if (args.length !== expected) throw fail('USAGE', { problem: `naru changes takes ${usage[known]}` })
  const [name = '', position = ''] = args
  const open = await projectOf(call)
  const signal = interruption()
  const subscribers = subscribersOf(open, signal)
  switch (known) {
    case 'list': {
      const list = await subscribers.list()
      const text = (): string => (list.length === 0 ? 'The configuration has no subscribers.' : subscribersText(list))
      return printResult(call, { ok: true, subscribers: list }, text)
    }
    case 'pull': {
      const from = call.has('from-start') ? 'start' : 'end'
      const feed = await openFeed(open, { name, from }, signal)
      try {
        return await pull(call, { feed, name }, signal)
      } finally {
        await feed.close()
      }
    }
    case 'acknowledge':
      await subscribers.acknowledge(name, position)
      return printResult(call, { ok: true }, () => `Done up to ${position}: it is not given again.`)
    case 'release':
      await subscribers.release(name, wholeFlag(call, 'after', 0) * 1000)
      return printResult(call, { ok: true }, () => 'What was given and not acknowledged is given again.')
    case 'remove': {
      const removed = await subscribers.remove(name)
      const text = removed ? 'Its place is forgotten, and holds nothing back any more.' : 'It has no place here.'
      return printResult(call, { ok: true, removed }, () => text)
    }
  }
}

/** Prints sets, each line when it is read: a set may be larger than memory likes. With --json every line is an object. */
async function pull(
  call: Call,
  { feed, name }: { readonly feed: OpenedFeed; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  const { output } = call
  const most = wholeFlag(call, 'max', 1)
  const waitMs = feed.isAtRest ? 0 : wholeFlag(call, 'wait', 0) * 1000
  let last: FedSet | null = null
  let sets = 0
  while (sets < most) {
    const set = await nextOf(feed, sets === 0 ? waitMs : 0, signal)
    if (set === null) break
    sets += 1
    last = set
    const { tables, ...head } = set
    if (output.json) output.print(jsonText({ set: head }))
    else output.print(headText(set))
    if (!output.json) for (const message of set.messages) output.print(messageText(message))
    for (let page = await feed.page(); page !== null; page = await feed.page()) {
      for (const change of page)
        output.print(output.json ? jsonText(plain(change, tables)) : changeText(change, tables))
    }
  }
  printResult(call, { ok: true, sets, position: last?.position ?? null, isAtRest: feed.isAtRest }, () =>
    last === null
      ? `Nothing waits.${feed.isAtRest ? ' No server runs, so nothing comes: naru start, or naru run, reads the source.' : ''}`
      : `When they are done: naru changes acknowledge ${visible(name)} ${last.position}. Until then they are given again.`,
  )
}

/** A server answers within a minute: longer waits ask again. */
async function nextOf(feed: OpenedFeed, waitMs: number, signal: AbortSignal): Promise<FedSet | null> {
  for (let left = waitMs; ; left -= 30_000) {
    const set = await feed.next(Math.min(30_000, Math.max(0, left)), signal)
    if (set !== null || left <= 30_000) return set
  }
}

function headText({ position, attempts, isAnew, isWhole, changes, rejected, schema }: FedSet): string {
  const times = attempts > 1 ? `, given ${attempts} times` : ''
  const again = `${times}${isAnew ? ', the first of a log that was begun anew: changes between are not told' : ''}`
  if (schema !== null) return `Set ${position}${again}: ${visible(schema.table)} has other columns now`
  const part = isWhole ? '' : '; the transaction goes on in the next set'
  return `Set ${position}${again}: ${count(changes)} changes${rejected === 0 ? '' : `, ${count(rejected)} rejected`}${part}`
}

function messageText({ prefix, content, bytes }: SeenMessage): string {
  const text = content === null ? `${count(bytes)} bytes` : Buffer.from(content, 'base64').toString()
  return visible(`  message ${prefix} ${text}`)
}

/** A change as an object; values are their exact text. What the source did not send is not there. */
function plain({ table, op, cells, transaction }: SeenChange, tables: readonly SeenTable[]): object {
  const { table: name = '', columns = [] } = tables[table] ?? {}
  const given = columns.flatMap((column, i) => {
    const cell = cells[i]
    return cell === undefined || cell === false ? [] : [{ ...column, cell }]
  })
  const key = Object.fromEntries(given.filter(it => it.isKey).map(it => [it.name, it.cell]))
  const row = Object.fromEntries(given.map(it => [it.name, it.cell]))
  return { table: name, op, key, ...(op === 'delete' || op === 'truncate' ? {} : { row }), transaction }
}

function changeText(change: SeenChange, tables: readonly SeenTable[]): string {
  const { columns = [], table = '' } = tables[change.table] ?? {}
  const cells = columns.flatMap(({ name }, i) => {
    const cell = change.cells[i]
    return cell === undefined || cell === false ? [] : [`${name}=${cell ?? 'NULL'}`]
  })
  return visible(`  ${change.op} ${table} ${cells.join(' ')}`)
}

function wholeFlag(call: Call, name: string, otherwise: number): number {
  const value = Number(call.flag(name) ?? otherwise)
  if (Number.isSafeInteger(value) && value >= 0 && value <= 86_400) return value
  throw fail('USAGE', { problem: `--${name} takes a whole number from 0 to 86400` })
}
