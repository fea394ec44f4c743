import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, test } from 'vitest'
import { isValid } from '../../../core/batch.ts'
import { isNaruError } from '../../../core/errors.ts'
import type { RowReject } from '../contract.ts'
import { readUtf8 } from './csv-text.ts'
import { readCsv, type CsvShape } from './csv.ts'

const signal = new AbortController().signal
const airports = new URL('../../../../node_modules/vega-datasets/data/airports.csv', import.meta.url)

const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le')

/** `a,b` and one row: 인천,대한민국. */
const cp949 = Buffer.from('612c620ac0cec3b52cb4ebc7d1b9ceb1b90a', 'hex')
/** `a,b` and one row: 똠방각하,뷁®. */
const cp949Extra = Buffer.from('612c620a8c63b9e6b0a2c7cf2c94eea2e70a', 'hex')

describe('what is good becomes rows', () => {
  const cases: readonly { name: string; text: string | Uint8Array; rows: (string | null)[][]; encoding?: string }[] = [
    {
      name: 'LF',
      text: 'a,b\n1,2\n3,4\n',
      rows: [
        ['1', '2'],
        ['3', '4'],
      ],
    },
    {
      name: 'CR LF',
      text: 'a,b\r\n1,2\r\n3,4\r\n',
      rows: [
        ['1', '2'],
        ['3', '4'],
      ],
    },
    {
      name: 'CR alone',
      text: 'a,b\r1,2\r3,4\r',
      rows: [
        ['1', '2'],
        ['3', '4'],
      ],
    },
    {
      name: 'a last line without an end',
      text: 'a,b\n1,2\n3,4',
      rows: [
        ['1', '2'],
        ['3', '4'],
      ],
    },
    {
      name: 'blank lines',
      text: '\n\na,b\n\n1,2\r\n\r\n3,4\n\n',
      rows: [
        ['1', '2'],
        ['3', '4'],
      ],
    },
    {
      name: 'NULL and empty text',
      text: 'a,b\n,""\n"",\n',
      rows: [
        [null, ''],
        ['', null],
      ],
    },
    { name: 'quotes', text: 'a,b\n"x,y","say ""hi"""\n', rows: [['x,y', 'say "hi"']] },
    { name: 'a quote inside an unquoted field', text: 'a,b\n5" pipe,6"\n', rows: [['5" pipe', '6"']] },
    { name: 'quoted line breaks', text: 'a,b\r\n"x\r\ny","\n"\r\n', rows: [['x\r\ny', '\n']] },
    { name: 'a lone CR in a file of LF lines', text: 'a,b\n1\r1,2\n', rows: [['1\r1', '2']] },
    { name: 'other columns in another order', text: 'z,b,y,a\n0,2,0,1\n', rows: [['1', '2']] },
    { name: 'a header in quotes with spaces', text: '"a", b \n1,2\n', rows: [['1', '2']] },
    { name: 'semicolons', text: 'a;b\n1,5;2\n', rows: [['1,5', '2']] },
    { name: 'tabs', text: 'a\tb\n1\t2\n', rows: [['1', '2']] },
    { name: 'bars', text: 'a|b\n1|2\n', rows: [['1', '2']] },
    { name: 'a byte-order mark', text: '\ufeffa,b\n한,국\n', rows: [['한', '국']] },
    { name: 'UTF-16 LE', text: utf16('\ufeffa,b\n한,"😀"\n'), rows: [['한', '😀']] },
    { name: 'UTF-16 BE', text: utf16('\ufeffa,b\n한,"😀"\n').swap16(), rows: [['한', '😀']] },
    { name: 'UTF-16 without a mark', text: utf16('a,b\n한,국\n'), rows: [['한', '국']], encoding: 'utf-16le' },
    { name: 'cp949', text: cp949, rows: [['인천', '대한민국']], encoding: 'cp949' },
    { name: 'cp949 beyond euc-kr', text: cp949Extra, rows: [['똠방각하', '뷁®']], encoding: 'cp949' },
    {
      name: 'windows-1252',
      text: Buffer.from('612c620a80352c93479496740a', 'hex'),
      rows: [['€5', '“G”–t']],
      encoding: 'cp1252',
    },
    { name: 'a mark against a declared encoding', text: '\ufeffa,b\n한,국\n', rows: [['한', '국']], encoding: 'cp949' },
    { name: 'latin1', text: Buffer.from('a,b\né,ü\n', 'latin1'), rows: [['é', 'ü']], encoding: 'latin1' },
    { name: 'a header alone', text: 'a,b', rows: [] },
  ]
  for (const { name, text, rows, encoding } of cases) {
    for (const chunk of [1, 7, 1 << 20]) {
      test(`${name}, in chunks of ${chunk}`, async () => {
        const got = await readAll(text, { encoding: encoding ?? 'utf-8' }, chunk)
        assert.deepEqual(got.rows, rows)
        assert.deepEqual(got.rejects, [])
      })
    }
  }

  test('every row knows its line', async () => {
    const got = await readAll('a,b\n1,2\n\n"x\ny",2\n3,4\n')
    assert.deepEqual(got.lines, [2, 4, 6])
  })

  test('columns that nobody declared are told', async () => {
    const got = await readAll('a,c,b,d\n')
    assert.deepEqual(got.unknownColumns, ['c', 'd'])
  })

  test('a real file agrees with its line count', async () => {
    const columns = ['iata', 'name', 'city', 'state', 'country', 'latitude', 'longitude']
    const got = await readAll(readFileSync(airports), { columns })
    assert.equal(got.rows.length, 3376)
    assert.deepEqual(got.rejects, [])
    assert.deepEqual(got.rows[0]?.slice(0, 3), ['00M', 'Thigpen', 'Bay Springs'])
  })
})

describe('what is bad becomes a reject with its line, and the rest goes on', () => {
  const cases: readonly {
    name: string
    text: string | Uint8Array
    rows: number
    rejects: readonly [RowReject['reason'], number, string][]
    more?: Partial<CsvShape>
  }[] = [
    {
      name: 'ragged lines',
      text: 'a,b\n1,2\n3\n4,5,6\n7,8\n',
      rows: 2,
      rejects: [
        ['LINE_RAGGED', 3, '3'],
        ['LINE_RAGGED', 4, '4,5,6'],
      ],
    },
    {
      name: 'bytes that are no UTF-8',
      text: Buffer.concat([Buffer.from('a,b\n1,'), Buffer.from([0xff]), Buffer.from('\n2,3\n')]),
      rows: 1,
      rejects: [['LINE_NOT_TEXT', 2, '1,\ufffd']],
    },
    { name: 'a NUL', text: 'a,b\n1,\0\n2,3\n', rows: 1, rejects: [['LINE_NOT_TEXT', 2, '1,\0']] },
    {
      name: 'bytes that are no cp949',
      text: Buffer.concat([cp949, Buffer.from([0xff, 0x2c, 0x31, 0x0a])]),
      rows: 1,
      rejects: [['LINE_NOT_TEXT', 3, '\ufffd,1']],
      more: { encoding: 'cp949' },
    },
    {
      name: 'text behind a closing quote',
      text: 'a,b\n"x"y,2\n3,4\n',
      rows: 1,
      rejects: [['LINE_QUOTE', 2, '"x"y,2']],
    },
    {
      name: 'a quote that is never closed swallows no line',
      text: 'a,b\n1,"2\n3,4\n5,6\n',
      rows: 2,
      rejects: [['LINE_QUOTE', 2, '1,"2']],
    },
    {
      name: 'a quote that is open beyond the limit',
      text: `a,b\n1,"2\n${'3,4\n'.repeat(100)}`,
      rows: 100,
      rejects: [['LINE_QUOTE', 2, '1,"2']],
      more: { maxLineBytes: 40 },
    },
    {
      name: 'a line over the limit',
      text: `a,b\n1,2\n${'x'.repeat(100)},"y\n3,4\n`,
      rows: 2,
      rejects: [['LINE_TOO_LONG', 3, 'x'.repeat(40)]],
      more: { maxLineBytes: 40 },
    },
    {
      name: 'a last line over the limit',
      text: `a,b\n1,2\n${'x'.repeat(100)}`,
      rows: 1,
      rejects: [['LINE_TOO_LONG', 3, 'x'.repeat(40)]],
      more: { maxLineBytes: 40 },
    },
  ]
  for (const { name, text, rows, rejects, more } of cases) {
    for (const chunk of [1, 1 << 20]) {
      test(`${name}, in chunks of ${chunk}`, async () => {
        const got = await readAll(text, more, chunk)
        assert.equal(got.rows.length, rows)
        assert.deepEqual(
          got.rejects.map(it => [it.reason, it.line, it.content.slice(0, 41)]),
          rejects,
        )
      })
    }
  }

  test('a line of 300 MB passes in bounded memory', async () => {
    const block = Buffer.alloc(1 << 20, 'x')
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    async function* file(): AsyncIterable<Uint8Array> {
      yield Buffer.from('a,b\n1,2\n')
      for (let i = 0; i < 300; i++) {
        yield block
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      }
      yield Buffer.from(',2\n3,4\n')
    }
    const got = await collect(readBytes(file()))
    assert.equal(got.rows.length, 2)
    assert.deepEqual(
      got.rejects.map(it => [it.reason, it.line, it.bytes]),
      [['LINE_TOO_LONG', 3, 300 * 1024 * 1024 + 2]],
    )
    assert.ok(most < 32 << 20, `${most} bytes of buffers`)
  })

  test('a file without a declared column says which, and what it has', async () => {
    for (const text of ['a,c\n1,2\n', 'a;c\n1;2\n', '', '\ufeff', '\n\n']) {
      await assert.rejects(readAll(text), error => isNaruError(error, 'FILE_COLUMN_MISSING'))
    }
    await assert.rejects(readAll('a;c\n'), /no column "b"; its header has: a, c$/)
    await assert.rejects(readAll('a,b,a\n'), error => isNaruError(error, 'FILE_COLUMN_REPEATED'))
    await assert.rejects(readAll('x'.repeat(3 << 20)), error => isNaruError(error, 'FILE_COLUMN_MISSING'))
  })

  test('an unknown encoding is named', async () => {
    await assert.rejects(readAll('a,b\n', { encoding: 'klingon' }), error => isNaruError(error, 'FILE_ENCODING'))
  })
})

describe('laws', () => {
  const field = fc.oneof(fc.constant(null), fc.string({ unit: fc.constantFrom('"', ',', '\n', '\r', 'x', '한', ' ') }))

  test('what was written comes back, whatever the chunks', async () => {
    const file = fc.record({
      rows: fc.array(fc.tuple(field, field), { maxLength: 30 }),
      newline: fc.constantFrom('\n', '\r\n', '\r'),
      delimiter: fc.constantFrom(',', ';', '\t', '|'),
      chunk: fc.integer({ min: 1, max: 40 }),
    })
    await fc.assert(
      fc.asyncProperty(file, async ({ rows, newline, delimiter, chunk }) => {
        const lines = [['a', 'b'], ...rows].map(row => row.map(write).join(delimiter))
        const got = await readAll(lines.map(line => line + newline).join(''), {}, chunk)
        assert.deepEqual(got.rows, rows)
        assert.deepEqual(got.rejects, [])
      }),
      { numRuns: 300 },
    )
  })

  test('rows and rejects together account for every byte of any text, whatever the chunks', async () => {
    const noise = fc.string({
      unit: fc.constantFrom('"', '"', ',', ',', '\n', '\n', '\r', 'x', '\0', '가'),
      maxLength: 200,
    })
    await fc.assert(
      fc.asyncProperty(
        noise,
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom(8, 30, 1000),
        async (text, chunk, max) => {
          const more = { maxLineBytes: max }
          const got = await readAll(`a,b\n${text}`, more, chunk)
          const whole = await readAll(`a,b\n${text}`, more, 1 << 20)
          assert.deepEqual(got, whole)
          assertAccounted(text, got)
        },
      ),
      { numRuns: 1000 },
    )
  })

  /** Each line with a byte on it lies in exactly one row or reject: lines between two starts belong to the first. */
  function assertAccounted(text: string, got: Awaited<ReturnType<typeof collect>>): void {
    const starts = [...got.lines, ...got.rejects.map(it => it.line as number)].sort((a, b) => a - b)
    assert.equal(new Set(starts).size, starts.length, 'no line is used twice')
    const lines = text.split('\n')
    lines.forEach((line, i) => {
      if (line === '' || line === '\r') return
      const owner = starts.filter(start => start <= i + 2).at(-1)
      assert.ok(owner !== undefined, `line ${i + 2} is in no row and no reject`)
      const row = got.rows[got.lines.indexOf(owner)]
      // A line that does not begin a record lies inside quotes of one, so its record holds its line break.
      if (owner !== i + 2) assert.ok(row?.some(value => value?.includes('\n')) || isMultiline(got.rejects, owner))
    })
  }

  function isMultiline(rejects: readonly RowReject[], line: number): boolean {
    return rejects.some(reject => reject.line === line && reject.content.includes('\n'))
  }
})

function write(value: string | null): string {
  if (value === null) return ''
  return value === '' || /[",;\t|\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

function shape(more: Partial<CsvShape> = {}): CsvShape {
  const found = { delimiter: null, quote: null, header: true, nulls: [], limits: { maxColumns: 10_000 } }
  return { file: 'f.csv', columns: ['a', 'b'], encoding: 'utf-8', maxLineBytes: 1 << 20, ...found, ...more }
}

async function* readBytes(bytes: AsyncIterable<Uint8Array>, more: Partial<CsvShape> = {}) {
  const asked = shape(more)
  yield* readCsv(await readUtf8(bytes, asked.encoding, asked.file), asked, signal)
}

async function readAll(text: string | Uint8Array, more: Partial<CsvShape> = {}, chunk = 1 << 16) {
  const bytes = Buffer.from(text as string)
  async function* chunks(): AsyncIterable<Uint8Array> {
    for (let at = 0; at < bytes.length; at += chunk) yield bytes.subarray(at, at + chunk)
  }
  return collect(readBytes(chunks(), more))
}

async function collect(batches: ReturnType<typeof readCsv>) {
  const rows: (string | null)[][] = []
  const lines: number[] = []
  const rejects: RowReject[] = []
  let unknownColumns: readonly string[] = []
  for await (const part of batches) {
    for (let row = 0; row < part.batch.rows; row++) {
      const values = part.batch.columns.map(column => {
        assert.ok(column.layout === 'bytes')
        if (!isValid(column.validity, row)) return null
        return Buffer.from(column.data.subarray(column.offsets[row], column.offsets[row + 1])).toString()
      })
      rows.push(values)
    }
    lines.push(...(part.lines ?? []))
    rejects.push(...part.rejects)
    unknownColumns = part.unknownColumns ?? unknownColumns
  }
  return { rows, lines, rejects, unknownColumns }
}
