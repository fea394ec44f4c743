import { mkdtemp, writeFile, appendFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { ColumnDef, ColumnType, TableShape } from 'naru/adapter'
import { openForTest, type TablesSystem } from 'naru/testing'
import { tsv } from './tsv/index.ts'

const rowBytesMax = 90_000

/** The adapter as the suite checks it: how tables are made in a folder of its own, and what it does not claim. */
export async function makeSystem(): Promise<TablesSystem> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'tsv-'))
  const fileOf = (shape: TableShape): string => path.join(folder, `${shape.remote}.tsv`)
  return {
    open: () => openForTest(tsv, { folder, maxValueBytes: rowBytesMax }),
    rowBytesMax,
    stamp: { kind: 'timestamp', zoned: true },
    makeTable: async shape => {
      const header = shape.columns.map(column => headerOf(column, shape.key)).join('\t')
      await writeFile(fileOf(shape), `${header}\n`)
    },
    addRows: async (shape, rows) => {
      await appendFile(fileOf(shape), rows.map(row => `${row.map(written).join('\t')}\n`).join(''))
    },
    can: { writesBesideSnapshot: false, horizon: false, chunks: false, totals: false, since: false, where: false },
    createHardTable: async () => {
      const names = { id: 'int!key', n: 'big', price: 'money', day: 'date', at: 'moment', note: 'text' }
      const header = Object.entries(names).map(([name, type]) => `${name}:${type}`)
      const lines = [
        ['1', '9223372036854775807', '9999999999999999.99', '9999-12-31', '2026-01-01T00:00:00.000001Z', '한\\t국\\\\'],
        ['2', '\\N', '\\N', '\\N', '\\N', ''],
        ['3', '9223372036854775808', '0', '2026-01-01', '\\N', ''],
        ['4', '0', '0.001', '2026-01-01', '\\N', ''],
      ]
      await writeFile(path.join(folder, 'hard.tsv'), [header, ...lines].map(line => `${line.join('\t')}\n`).join(''))
      const column = (name: string, type: ColumnType): ColumnDef => {
        return { name, type, nullable: name !== 'id', personal: false }
      }
      return {
        remote: 'hard',
        key: ['id'],
        columns: [
          column('id', { kind: 'int', bits: 32 }),
          column('n', { kind: 'int', bits: 64 }),
          column('price', { kind: 'decimal', precision: 18, scale: 2 }),
          column('day', { kind: 'date' }),
          column('at', { kind: 'timestamp', zoned: true }),
          column('note', { kind: 'text' }),
        ],
        rows: [
          [
            '1',
            '9223372036854775807',
            '9999999999999999.99',
            '9999-12-31',
            '2026-01-01 00:00:00.000001+00',
            '한\t국\\',
          ],
          ['2', null, null, null, null, ''],
        ],
        unfit: ['3', '4'],
      }
    },
  }
}

function headerOf({ name, type, nullable }: ColumnDef, key: readonly string[]): string {
  const native =
    type.kind === 'int' ? (type.bits === 64 ? 'big' : 'int') : type.kind === 'timestamp' ? 'moment' : 'text'
  return `${name}:${native}${key.includes(name) ? '!key' : nullable ? '' : '!'}`
}

function written(value: string | null): string {
  const marks: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\\': '\\\\' }
  return value === null ? '\\N' : value.replaceAll(/[\t\n\\]/g, found => marks[found] as string)
}
