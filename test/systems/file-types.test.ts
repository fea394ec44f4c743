import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { ColumnType } from '../../src/core/types.ts'
import { realEnv } from '../../src/core/env.ts'
import { never } from '../../src/services/adapter/conformance-support.ts'
import { columnsOf, readDropped, refused } from '../../src/services/adapter/files/folder.test.support.ts'
import { openAdapter } from '../../src/services/adapter/files/open.ts'
import { avroHardTypes, parquetHardTypes, type HardFileType } from '../../src/testing/files/hard-values.ts'
import { needPython } from '../servers/install.ts'

// Every type of docs/types.md that a file has: written by pyarrow and fastavro, and compared with what they print of it.

const lists = { parquet: parquetHardTypes, avro: avroHardTypes } as const
type Format = keyof typeof lists

let folder: string
let printed: Readonly<Record<Format, readonly (readonly string[])[]>>

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'naru-types-'))
  const python = needPython('files', 'pyarrow==26.0.1', 'fastavro==1.13.1', 'pandas==3.1.1', 'cramjam==2.14.0')
  const script = path.join(import.meta.dirname, '../servers/make_types.py')
  const made = spawnSync(python, [script, folder], { input: JSON.stringify(lists), encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  printed = JSON.parse(made.stdout) as typeof printed
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The type that `naru pull` would write for the column. */
async function pulledType(of: string): Promise<ColumnType | undefined> {
  const adapter = await openAdapter({
    source: 'partner',
    options: { folder: path.join(folder, of), settle: '1ms' },
    secret: () => assert.fail('a folder needs no secret'),
    configDir: folder,
    stateDir: path.join(folder, 'state'),
    env: realEnv(),
  })
  try {
    const [table] = (await adapter.describes?.describe(never)) ?? []
    return table?.columns.find(column => column.name === 'v')?.type
  } finally {
    await adapter.close()
  }
}

/** As our own spelling has it: no zeros at the end of a fraction of a second, floats by their value. */
function spelled(type: ColumnType, text: string): string {
  if (type.kind === 'float') return floatText(type, text.replace('inf', 'Infinity').replace('nan', 'NaN'))
  if (type.kind !== 'time' && type.kind !== 'timestamp') return text
  const whole = text
    .replace('Z', '')
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '')
  return type.kind === 'timestamp' && type.zoned ? `${whole}+00` : whole
}

for (const format of ['parquet', 'avro'] as const) {
  describe(`types of ${format}`, () => {
    for (const [i, { native, type, values, unfit = [] }] of (lists[format] as readonly HardFileType[]).entries()) {
      test(`${native}: every value arrives as the tool that wrote it prints it, and what no type holds becomes a reject`, async () => {
        const place = `${format}-${i}`
        assert.deepEqual(await pulledType(place), type)
        const content = readFileSync(path.join(folder, place, `v.${format}`))
        const columns = columnsOf({ id: { kind: 'int', bits: 32 }, v: type })
        const { rows, rejects } = await readDropped(`x.${format}`, content, { format: { kind: format }, columns })
        const expected = (printed[format][i] ?? []).slice(0, values.length)
        assert.deepEqual(
          rows.map(row => (type.kind === 'float' ? floatText(type, row[1] ?? 'NULL') : row[1])),
          expected.map(text => spelled(type, text)),
        )
        assert.equal(expected.length, values.length)
        assert.deepEqual(
          rejects.map(it => [it.line, it.reason]),
          unfit.map((_, at) => [values.length + 1 + at, 'VALUE_NOT_IN_TYPE']),
        )
      })
    }
  })
}

test('a decimal of more digits than the engine reads stops its file by name, also inside of a nested value', async () => {
  const content = readFileSync(path.join(folder, 'wide.parquet'))
  const format = { kind: 'parquet' } as const
  for (const name of ['v', 'w']) {
    const columns = columnsOf({ id: { kind: 'int', bits: 32 }, [name]: { kind: name === 'v' ? 'text' : 'json' } })
    await assert.rejects(
      readDropped('x.parquet', content, { format, columns }),
      refused('FILE_TYPE', name, 'DECIMAL(50,5)'),
    )
  }
  const { rows } = await readDropped('x.parquet', content, {
    format,
    columns: columnsOf({ id: { kind: 'int', bits: 32 } }),
  })
  assert.equal(rows.length, 2)
})

test('parts of a microsecond of INT96 stamps are cut, which is told', async () => {
  const content = readFileSync(path.join(folder, 'int96.parquet'))
  const columns = columnsOf({ v: { kind: 'timestamp', zoned: false } })
  const { rows, dialect } = await readDropped('x.parquet', content, { format: { kind: 'parquet' }, columns })
  assert.deepEqual(rows, [['2023-11-14 22:13:20.123456'], ['2023-11-14 22:13:20.123456']])
  assert.match(dialect ?? '', /INT96 \(v\), whose parts of a microsecond are cut/)
})

/** Tools spell one float in several ways. */
function floatText({ bits }: Extract<ColumnType, { kind: 'float' }>, text: string): string {
  return String(bits === 32 ? Math.fround(Number(text)) : Number(text))
}
