import { afterAll, beforeAll, describe, test } from 'vitest'
import { t, type Column } from '../../../index.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import { hardTypes } from '../../../testing/http/hard-values.ts'
import { tablesPromisesFor, type HardTable, type TablesSystem } from '../conformance-tables.ts'
import type { TableShape } from '../contract.ts'
import type { TextRows } from '../text-totals.ts'
import { json, openApi, startApi, type Api } from '../../../testing/http/api.ts'

const rowBytesMax = 90_000
const pageRows = 100

/** The records of an endpoint, each as its JSON text. */
interface Endpoint {
  readonly shape: TableShape
  readonly records: string[]
}

/** What an API claims. */
const can = {
  writesBesideSnapshot: false,
  horizon: false,
  describes: false, // an API has no catalog
  chunks: false,
  totals: false,
  range: false, // an API has no filter of ours
  changed: false, // nor several at once
  where: false, // an API has no words of its own
}

describe('tables of http keep the contract', () => {
  let api: Api
  const endpoints = new Map<string, Endpoint>()
  beforeAll(async () => {
    api = await startApi((_, response, url) => {
      const records = endpoints.get(url.pathname.slice(1))?.records ?? []
      const from = Number(url.searchParams.get('offset'))
      json(response, `{"data":[${records.slice(from, from + pageRows).join(',')}],"total":${records.length}}`)
    })
  })
  afterAll(() => api.stop())

  const system = (): TablesSystem => ({
    open: async () => {
      const given = [...endpoints].map(([name, { shape }]) => [name, endpointOf(name, shape)])
      const options = { url: api.url, maxValueBytes: rowBytesMax, endpoints: Object.fromEntries(given) }
      return (await openApi(options)).adapter
    },
    rowBytesMax,
    makeTable: async shape => void endpoints.set(shape.remote, { shape, records: [] }),
    addRows: async (shape, rows) => {
      endpoints.get(shape.remote)?.records.push(...recordsOf(shape, rows))
    },
    stamp: { kind: 'timestamp', zoned: true },
    can,
    createHardTable: async () => {
      const hard = hardTable()
      endpoints.set(hard.table.remote, { shape: hard.table, records: hard.records })
      return hard.table
    },
  })

  for (const promise of tablesPromisesFor(can)) {
    test(promise.name, async () => {
      endpoints.clear()
      await promise.check(system())
    })
  }
})

function endpointOf(name: string, shape: TableShape): object {
  const columns = Object.fromEntries(shape.columns.map(column => [column.name, builderOf(column)]))
  const page = { by: 'offset', param: 'offset' }
  return { path: `/${name}`, records: 'data', key: shape.key, columns, page, total: { at: 'total' } }
}

/** The column as a config writes it. */
function builderOf({ type, nullable }: ColumnDef): Column<'text', 'text'> {
  return { ...t.text(), type, nullable } as Column<'text', 'text'>
}

function recordsOf({ columns }: TableShape, rows: TextRows): readonly string[] {
  return rows.map(row => {
    const members = columns.map(({ name, type }, i) => `"${name}": ${jsonOf(type, row[i] ?? null)}`)
    return `{ ${members.join(', ')} }`
  })
}

function jsonOf(type: ColumnType, value: string | null): string {
  if (value === null) return 'null'
  return ['int', 'decimal', 'float'].includes(type.kind) ? value : JSON.stringify(value)
}

function hardTable(): { readonly table: HardTable; readonly records: string[] } {
  const columns: ColumnDef[] = hardTypes.map(({ type }, i) => ({
    name: `c${i}`,
    type,
    nullable: true,
    personal: false,
  }))
  const all: ColumnDef[] = [
    { name: 'id', type: { kind: 'int', bits: 32 }, nullable: false, personal: false },
    ...columns,
  ]
  const records: string[] = []
  const rows: (string | null)[][] = []
  for (const [i, { values }] of hardTypes.entries()) {
    for (const [written, expected] of values) {
      rows.push([String(records.length), ...columns.map((_, c) => (c === i ? expected : null))])
      records.push(`{"id": ${records.length}, "c${i}": ${written}}`)
    }
  }
  const unfit: string[] = []
  for (const [i, hard] of hardTypes.entries()) {
    for (const written of hard.unfit) {
      unfit.push(String(records.length))
      records.push(`{"id": ${records.length}, "c${i}": ${written}}`)
    }
  }
  return { table: { remote: 'hard', columns: all, key: ['id'], rows, unfit }, records }
}
