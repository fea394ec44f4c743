import path from 'node:path'
import type { Env } from '../../../core/env.ts'
import { fail } from '../../../core/errors.ts'
import { makeSpool, removeSpool } from '../../../core/spool.ts'
import { CellBatches } from '../../../systems/cells/batches.ts'
import type { ControlTotals, RowFilter, Snapshot, SourceBatch, TableNow, TableShape } from '../contract.ts'
import type { Client } from './client.ts'
import type { ChildDef, EndpointDef, RowsDef } from './index.ts'
import { areCounted, firstPage, pagesOf, type EndpointRead, type Fetched } from './pages.ts'
import { readRecords, writeRecords } from './records.ts'
import { rowReader } from './rows.ts'
import { sinceText } from './since.ts'
import type { Target } from './target.ts'

interface Api {
  readonly env: Env
  readonly target: Target
  readonly client: Client
  readonly stateDir: string
}

/** A table of the source: an endpoint, or a list within its records. */
interface Found {
  readonly name: string
  readonly endpoint: EndpointDef
  readonly child: ChildDef | null
  readonly rows: RowsDef
}

/**
 * The endpoints as they were read once: each lies in a file from its first read on, so that a table and those of its
 * lists agree, and nothing is held in memory. The API itself goes on changing between two pages.
 */
export class HttpSnapshot implements Snapshot {
  /** An API has no clock that can be relied on: it is ours. What it may be off is part of the stated lag. */
  readonly takenAtMicros: bigint
  readonly horizonMicros = null
  readonly #api: Api
  readonly #files = new Map<string, Promise<string>>()
  #spool: Promise<string> | null = null
  /** The page that the last look took: the read that follows begins with it. */
  #looked: { readonly name: string; readonly page: Fetched } | null = null

  constructor(api: Api) {
    this.#api = api
    this.takenAtMicros = api.env.clock.nowMicros()
  }

  /** The columns are the config's: an API has no catalog. That it answers, lets us in and has a list of records is tried. */
  async look(remote: string): Promise<TableNow> {
    const found = this.#find(remote)
    if (!this.#files.has(fileKey(found, null))) {
      const page = await firstPage(this.#read(found, null), new AbortController().signal)
      this.#looked = { name: found.name, page }
    }
    const columns = found.rows.columns.map(column => ({ ...column, nativeType: 'json' }))
    const { page } = found.endpoint
    const blindSpot = areCounted(page) ? blindSpotOf(page.by) : undefined
    return { name: remote, columns, key: found.rows.key, rowsEstimate: null, denied: [], blindSpot }
  }

  async boundary(): Promise<null> {
    return null
  }

  async *read(
    table: TableShape,
    columns: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    const found = this.#find(table.remote)
    const { target, env } = this.#api
    if (filter.where !== undefined) throw noCondition(target.source)
    const [mark] = filter.changed ?? []
    if (mark !== undefined) {
      throw fail('SINCE_UNSUPPORTED', { source: target.source, table: table.remote, column: mark.column })
    }
    if (filter.range !== undefined) {
      throw fail('RANGE_UNSUPPORTED', { source: target.source, table: table.remote, column: filter.range.column })
    }
    const file = await this.#fileOf(found, filter, signal)
    const wanted = columns.map(name => columnOf(table, name, target.source))
    // A row without a part of its key would be the row of none: it is set aside, whatever its columns allow.
    const strict = wanted.map(column => ({ ...column, nullable: column.nullable && !table.key.includes(column.name) }))
    const batches = new CellBatches(strict, table.key, target.recordBytesMax)
    const add = rowReader(found.rows, found.child, wanted, filter)
    for await (const records of readRecords(env, file)) {
      for (const record of records) {
        add(record, batches)
        if (batches.full) yield batches.take()
      }
      this.#refuseCancelled(signal)
    }
    if (!batches.empty) yield batches.take()
  }

  totals(): Promise<ControlTotals> {
    throw fail('INTERNAL', { what: 'an API was asked for totals' })
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#files.values())
    const spool = await this.#spool?.catch(() => null)
    if (typeof spool === 'string') await removeSpool(this.#api.env, spool)
  }

  /** The file with the records, from `since` on or with all of them; what lies there already is not asked for again. */
  async #fileOf(found: Found, filter: RowFilter, signal: AbortSignal): Promise<string> {
    this.#refuseCancelled(signal)
    const { since } = found.endpoint
    const whole = this.#files.get(fileKey(found, null))
    if (whole !== undefined) return whole
    const from = found.child === null && since !== null && filter.since !== undefined ? filter.since : null
    const moment = from === null || since === null ? null : sinceText(from.atLeastMicros, since.format)
    const key = fileKey(found, moment)
    const known = this.#files.get(key)
    if (known !== undefined) return known
    const fetched = this.#fetch(found, moment, signal)
    this.#files.set(key, fetched)
    // A read that broke leaves nothing that a later one would take for the whole.
    fetched.catch(() => this.#files.delete(key))
    return fetched
  }

  async #fetch(found: Found, since: string | null, signal: AbortSignal): Promise<string> {
    const { env, stateDir } = this.#api
    this.#spool ??= makeSpool(env, stateDir)
    const file = path.join(await this.#spool, `${env.random.uuid()}.records`)
    const first = since === null && this.#looked?.name === found.name ? this.#looked.page : null
    this.#looked = null
    await writeRecords(env, file, pagesOf(this.#read(found, since), first, signal))
    return file
  }

  #read({ name, endpoint }: Found, since: string | null): EndpointRead {
    const { client, target } = this.#api
    return { client, target, name, endpoint, since }
  }

  #find(remote: string): Found {
    const { endpoints, source } = this.#api.target
    const [name = '', list] = remote.split('.')
    const endpoint = Object.hasOwn(endpoints, name) ? endpoints[name] : undefined
    const child = list === undefined ? null : endpoint?.children[list]
    if (endpoint === undefined || child === undefined) throw fail('SOURCE_TABLE_GONE', { source, table: remote })
    return { name, endpoint, child, rows: child ?? endpoint }
  }

  #refuseCancelled(signal: AbortSignal): void {
    const what = `reading source "${this.#api.target.source}"`
    if (signal.aborted) throw fail('CANCELLED', { what }, { cause: signal.reason })
  }
}

function blindSpotOf(by: string): { readonly text: string; readonly fix: string } {
  return {
    text: `its pages are found by ${by}: when a record is removed while they are read, the first one of the next page moves to a page that was read already, and is missed`,
    fix: 'Use cursor, next or link pages where the API has them. Otherwise give `total`, so that a count that falls ends the read, and where `since` is used a sweep, which finds what was missed.',
  }
}

function fileKey({ name }: Found, since: string | null): string {
  return JSON.stringify([name, since])
}

function columnOf(table: TableShape, name: string, source: string): TableShape['columns'][number] {
  const column = table.columns.find(it => it.name === name)
  if (column === undefined) throw fail('SOURCE_COLUMN_GONE', { source, table: table.remote, column: name })
  return column
}

function noCondition(source: string): Error {
  const problem = 'an API has no conditions of its own; narrow the endpoint by its query'
  return fail('OPTION_INVALID', { where: `source "${source}"`, option: 'where', problem })
}
