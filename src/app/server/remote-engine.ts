import { fail } from '../../core/errors.ts'
import { renderSql, type Dialect, type Sql } from '../../core/sql.ts'
import type {
  Cell,
  Engine,
  MaskedTable,
  QueryResult,
  Row,
  TableColumnNow,
  Transaction,
} from '../../services/engine/contract.ts'
import type { OpenProject } from '../project.ts'
import { ask, type Asking } from './ask.ts'
import type { Message } from './wire.ts'

/** How a remote engine is made. */
interface Remote {
  readonly open: OpenProject
  readonly dialect: Dialect
  readonly can: Engine['can']
  readonly kind: string
  /** What people may not see by the configuration of this command; the answering process hides what its own says as well. */
  readonly people: readonly MaskedTable[] | null
}

/**
 * The database that another process has open, as far as it can be read: each view of it and each query is a dialogue with that
 * process. Throws `SERVER_ENDING` and `SERVER_GONE` when it ends meanwhile.
 */
export function remoteEngine(remote: Remote): Engine {
  const { open, kind, dialect, can, people } = remote
  const read: Engine['read'] = async (signal, body) => {
    const asking = await begin(open, { ask: 'read' }, signal)
    try {
      await asking.next()
      return await body(remoteReader(asking, dialect))
    } finally {
      asking.close()
    }
  }
  const query = async (
    statement: Sql,
    signal: AbortSignal,
    masked: readonly MaskedTable[] | null,
  ): Promise<QueryResult> => {
    const { text } = renderSql(statement, dialect)
    const request = { ask: 'query', sql: text, people: masked !== null, masked: masked ?? [] }
    return remoteResult(await begin(open, request, signal))
  }
  return {
    kind,
    dialect,
    can,
    transaction: read,
    read,
    query: (statement, signal) => query(statement, signal, people),
    forPeople: () => ({ query: (statement, signal) => query(statement, signal, people ?? []) }),
    checkpoint: async () => 'held',
    close: async () => {},
  }
}

async function begin(open: OpenProject, request: Message, signal: AbortSignal): Promise<Asking> {
  const asking = await ask(open, request, signal)
  if (asking !== null) return asking
  throw fail('SERVER_ENDING', { holder: 'the process that had the database open' })
}

async function remoteResult(asking: Asking): Promise<QueryResult> {
  try {
    const { columns } = (await asking.next()) as { readonly columns?: QueryResult['columns'] }
    return { columns: columns ?? [], pages: pagesOf(asking) }
  } catch (error) {
    asking.close()
    throw error
  }
}

async function* pagesOf(asking: Asking): QueryResult['pages'] {
  try {
    for (;;) {
      const { page, done } = (await asking.next()) as { readonly page?: readonly Cell[][]; readonly done?: boolean }
      if (done === true) return
      if (page !== undefined) yield page
    }
  } finally {
    asking.close()
  }
}

function remoteReader(asking: Asking, dialect: Dialect): Transaction {
  let last: Promise<unknown> = Promise.resolve()
  /** One call after the other, as in any transaction. */
  const inOrder = <T>(call: () => Promise<T>): Promise<T> => {
    const next = last.then(call, call)
    last = next.catch(() => {})
    return next
  }
  const answerTo = async (call: Message, take: (page: readonly (readonly Cell[])[]) => void): Promise<unknown> => {
    await asking.send(call)
    for (;;) {
      const line = await asking.next()
      if ('answer' in line) return line['answer']
      take(line['page'] as readonly (readonly Cell[])[])
    }
  }
  const only = (): Promise<never> => Promise.reject(fail('INTERNAL', { what: 'a command that reads tried to write' }))
  return {
    dialect,
    rows: statement =>
      inOrder(async () => {
        const cells: (readonly Cell[])[] = []
        const sql = renderSql(statement, dialect).text
        const names = (await answerTo({ rows: sql }, page => void cells.push(...page))) as readonly string[]
        return cells.map(row => rowOf(names, row))
      }),
    exists: ({ path }) => inOrder(async () => (await answerTo({ what: 'exists', table: path }, () => {})) === true),
    columns: ({ path }) =>
      inOrder(async () => (await answerTo({ what: 'columns', table: path }, () => {})) as readonly TableColumnNow[]),
    execute: only,
    append: only,
    takeRows: only,
    replaceTemp: only,
  }
}

function rowOf(names: readonly string[], cells: readonly Cell[]): Row {
  return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? null]))
}
