import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, test } from 'vitest'
import { isNaruError } from '../../../core/errors.ts'
import { batchOf, column, type TestValue } from '../../../testing/suite/batches.ts'
import { cellText } from '../../../core/cell-text.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import type { WrittenFile } from '../contract-writes.ts'
import { columnsOf, readDropped } from './folder.test.support.ts'
import { writtenFile } from './writer.test.support.ts'

const text = column('a', { kind: 'text' })
const number = column('b', { kind: 'int', bits: 32 })
const day = column('c', { kind: 'date' })
const bytes = column('d', { kind: 'bytes' })

/** Reads CSV as a project does that describes it as it was written. */
async function readBack(
  name: string,
  content: Buffer,
  columns: readonly string[],
  file: WrittenFile,
): Promise<readonly (readonly (string | null)[])[]> {
  const { delimiter = name.endsWith('.tsv') ? '\t' : ',', quote = '"', escape, nullText = '', header = true } = file
  const format = {
    kind: 'csv',
    delimiter,
    quote: quote === 'none' ? '' : quote,
    ...(escape === undefined ? {} : { escape }),
    header,
    nulls: nullText === '' ? [] : [nullText],
  } as const
  const types = columnsOf(Object.fromEntries(columns.map(it => [it, 'text' as const])))
  const { rows, rejects } = await readDropped(name, content, { format, columns: types })
  assert.deepEqual(rejects, [])
  return rows
}

const character = fc.integer({ min: 1, max: 127 }).map(it => String.fromCharCode(it))
const separator = character.filter(it => it !== '\n' && it !== '\r')
const options = fc
  .record({
    delimiter: separator,
    quote: fc.oneof(separator, fc.constant('none')),
    escape: fc.option(separator, { nil: undefined }),
    nullText: fc.oneof(fc.constantFrom('', '\\N', 'NULL', '-', '0', '1970-01-02', ' '), fc.string({ maxLength: 3 })),
    header: fc.boolean(),
  })
  .filter(({ delimiter, quote, escape }) => delimiter !== quote && delimiter !== escape && quote !== escape)
  .filter(({ quote, escape }) => escape === undefined || (quote !== 'none' && !/[0-9a-z]/i.test(quote + escape)))
  .filter(
    ({ delimiter, quote, escape = '\0', nullText }) =>
      ![delimiter, quote, escape, '\n', '\r', '\0'].some(it => nullText.includes(it)),
  )
  .map(({ escape, ...rest }): WrittenFile => (escape === undefined ? rest : { ...rest, escape }))

describe('CSV that is written', () => {
  test('is read back exactly, whatever its delimiter, quotes and text for NULL are, or the row is refused', async () => {
    let written = 0
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.array(fc.integer({ min: 0, max: 1e9 }), { maxLength: 8 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
        async (file, seeds, picks) => {
          const hard = [
            file.nullText,
            file.delimiter,
            file.quote,
            file.escape ?? '\\',
            '',
            '\n',
            '\r',
            '\r\n',
            '\ufeff',
            ' x ',
            '#',
            '"',
            "'",
            '\\',
            'é,',
            `${file.quote}${file.delimiter}`,
          ]
          const piece = (): string => hard[(picks.next().value as number) % hard.length] as string
          const texts = [
            file.nullText ?? '',
            '',
            null,
            '\ufeffx',
            'a',
            ...seeds.map(seed => (seed % 7 === 0 ? null : piece() + piece() + String(seed % 3))),
          ]
          const columns = [text, number, day, bytes]
          const values: TestValue[][] = [
            texts,
            texts.map((_, i) => (i % 5 === 4 ? null : BigInt((seeds[i] ?? i) % 100))),
            texts.map((_, i) => (i % 6 === 5 ? null : BigInt(i % 3))),
            texts.map((it, i) => (i % 4 === 3 ? null : Buffer.from(it ?? ''))),
          ]
          let content: Buffer
          try {
            content = await writtenFile('x.csv', { columns, values }, file)
          } catch (error) {
            // Only without quotes there are values and names that no line holds.
            const isRefused = isNaruError(error, 'WRITE_VALUE') || isNaruError(error, 'WRITE_TARGET')
            assert.ok(file.quote === 'none' && isRefused, `${JSON.stringify(file)}: ${String(error)}`)
            return
          }
          written++
          const batch = batchOf(columns, values)
          const expected = texts.map((_, row) =>
            columns.map(({ type }, c) => cellText(type, batch.columns[c] as never, row)),
          )
          assert.deepEqual(await readBack('x.csv', content, ['a', 'b', 'c', 'd'], file), expected, JSON.stringify(file))
        },
      ),
      { numRuns: 30 },
    )
    assert.ok(written > 10)
  })

  test('without quotes holds what needs none', async () => {
    const file = { quote: 'none', delimiter: '\x01', nullText: '\\N', header: false }
    const content = await writtenFile(
      'x.csv',
      {
        columns: [text, number],
        values: [
          ['a "b"', null, 'c,d'],
          [1n, null, 3n],
        ],
      },
      file,
    )
    assert.equal(content.toString(), 'a "b"\x011\n\\N\x01\\N\nc,d\x013\n')
    assert.deepEqual(await readBack('x.csv', content, ['a', 'b'], file), [
      ['a "b"', '1'],
      [null, null],
      ['c,d', '3'],
    ])
  })

  test.each([
    ['a\tb', ''],
    ['\\N', '\\N'],
    ['', '\\N'],
    ['a\nb', ''],
    ['\ufeffa', ''],
  ])('without quotes refuses %j by its column', async (value, nullText) => {
    const rows = { columns: [text, number], values: [[value], [1n]] }
    await rejectsWith(
      'WRITE_VALUE',
      writtenFile('x.tsv', rows, { quote: 'none', nullText, header: false }),
      'column "a"',
    )
  })

  test('is tab-delimited for .tsv', async () => {
    const content = await writtenFile('x.tsv', {
      columns: [text, number],
      values: [
        ['a,b', 'c\td'],
        [1n, 2n],
      ],
    })
    assert.equal(content.toString(), 'a\tb\na,b\t1\n"c\td"\t2\n')
  })

  test('keeps NULL in its only column where a text stands for it', async () => {
    const content = await writtenFile('x.csv', { columns: [text], values: [['a', null, '']] }, { nullText: '\\N' })
    assert.deepEqual(await readBack('x.csv', content, ['a'], { nullText: '\\N' }), [['a'], [null], ['']])
  })

  test.each(['x.csv.gz', 'x.csv.zst', 'x.ndjson.zst'])('%s is packed as its name says, and read back', async name => {
    const content = await writtenFile(name, {
      columns: [text, number],
      values: [
        ['a', 'b'],
        [1n, 2n],
      ],
    })
    const read = name.includes('csv')
      ? await readBack(name, content, ['a', 'b'], {})
      : (await readDropped(name, content, { format: { kind: 'ndjson' }, columns: columnsOf({ a: 'text', b: 'text' }) }))
          .rows
    assert.deepEqual(read, [
      ['a', '1'],
      ['b', '2'],
    ])
  })

  test.each<[string, WrittenFile, string]>([
    ['x.csv', { delimiter: ';;' }, 'one ASCII character'],
    ['x.csv', { delimiter: '\n' }, 'one ASCII character'],
    ['x.csv', { quote: '”' }, 'one ASCII character'],
    ['x.csv', { quote: ',' }, 'the same'],
    ['x.csv', { escape: ',' }, 'the same'],
    ['x.csv', { escape: '\\', quote: 'none' }, 'within quotes'],
    ['x.csv', { escape: 'x' }, 'neither letters nor digits'],
    ['x.csv', { escape: '\\', nullText: '\\N' }, '--null-text'],
    ['x.csv', { nullText: 'a,b' }, '--null-text'],
    ['x.csv', { nullText: '"' }, '--null-text'],
    ['x.csv', { quote: 'none', delimiter: 'a' }, 'cannot name the column "a"'],
    ['x.csv', { compression: 'zstd' }, 'its name says'],
    ['x.ndjson', { delimiter: ';' }, '--delimiter is of CSV'],
    ['x.parquet', { header: false }, '--no-header is of CSV'],
    ['x.parquet', { compression: 'constructor' }, 'snappy, zstd, gzip, none'],
    ['x.parquet.zst', {}, 'its name must end'],
    ['x.csv.zip', {}, 'its name must end'],
  ])('%s with %j is refused before a row is read', async (name, file, says) => {
    await rejectsWith('WRITE_TARGET', writtenFile(name, { columns: [text, number], values: [['v'], [1n]] }, file), says)
  })
})

describe('Parquet that is written', () => {
  test.each(['zstd', 'gzip', 'none', 'snappy'])('in %s is joined of its parts and read back', async compression => {
    const values = [Array.from({ length: 50 }, (_, i) => `text ${i}`), Array.from({ length: 50 }, (_, i) => BigInt(i))]
    const content = await writtenFile('x.parquet', { columns: [text, number], values }, { compression }, 2)
    const { rows } = await readDropped('x.parquet', content, { format: { kind: 'parquet' }, columns: [text, number] })
    assert.equal(rows.length, 100)
    assert.deepEqual(rows[99], ['text 49', '49'])
  })
})
