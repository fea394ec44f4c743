import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import * as fc from 'fast-check'
import { test } from 'vitest'
import { realEnv } from '../../../core/env.ts'
import { cellText } from '../../../core/cell-text.ts'
import type { SourceBatch } from '../contract.ts'
import { readUtf8 } from './csv-text.ts'
import { readCsv, type CsvShape } from './csv.ts'
import { PlainWriter } from './plain-lines.ts'

const { signal } = new AbortController()
const shape: CsvShape = {
  file: 'f.csv',
  columns: ['a', 'b'],
  encoding: 'utf-8',
  maxLineBytes: 1 << 20,
  limits: { maxColumns: 100 },
  delimiter: null,
  quote: null,
  header: true,
  nulls: ['NULL'],
}

interface Got {
  /** By line number. */
  readonly rows: Map<number, readonly (string | null)[]>
  readonly rejects: SourceBatch['rejects'][number][]
  plain: number
}

async function readAll(text: string, plain: PlainWriter | null): Promise<Got> {
  async function* chunks(): AsyncIterable<Uint8Array> {
    yield Buffer.from(text)
  }
  const got: Got = { rows: new Map(), rejects: [], plain: 0 }
  for await (const part of readCsv(await readUtf8(chunks(), 'utf-8', 'f.csv'), shape, signal, plain)) {
    for (let row = 0; row < part.batch.rows; row++) {
      const values = part.batch.columns.map(column => cellText({ kind: 'text' }, column, row))
      got.rows.set(part.lines?.[row] ?? assert.fail(), values)
    }
    got.rejects.push(...part.rejects)
    if (part.plain === undefined) continue
    const lines = (await readFile(part.plain.localPath, 'utf8')).split('\n')
    assert.equal(lines.pop(), '')
    assert.equal(lines.length, part.plain.rows)
    for (const line of lines) {
      const fields: readonly string[] = line.split(part.plain.delimiter)
      assert.equal(fields.length, 3)
      got.rows.set(
        Number(fields[2]),
        fields.slice(0, 2).map(it => (it === '' ? null : it)),
      )
      got.plain++
    }
  }
  return got
}

test('rows as plain lines and rows in batches are the same rows, with the same rejects', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-plain-'))
  const line = fc.oneof(
    fc.tuple(fc.integer(), fc.constantFrom('x', '한', '', 'NULL', '""', '"NULL"')).map(it => it.join(',')),
    fc.string({ unit: fc.constantFrom('"', ',', ',', '\r', 'x', '\0', '\u001f', '가', ' ', '\n'), maxLength: 12 }),
  )
  let plainRows = 0
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 40 }), fc.constantFrom('\n', '\r\n', '\r'), async (lines, end) => {
      const text = ['a,b', ...lines].map(it => it + end).join('')
      const writer = new PlainWriter(realEnv(), { path: n => path.join(folder, `${n}.lines`), nulls: shape.nulls })
      const [batches, plain] = [await readAll(text, null), await readAll(text, writer)]
      assert.deepEqual(
        [...plain.rows].sort(([a], [b]) => a - b),
        [...batches.rows],
      )
      assert.deepEqual(plain.rejects, batches.rejects)
      plainRows += plain.plain
    }),
    { numRuns: 300 },
  )
  assert.ok(plainRows > 300, `${plainRows} rows went as lines`)
  await rm(folder, { recursive: true })
})
