import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnsOf, csv, readDropped } from './folder.test.support.ts'

const columns = columnsOf({ a: 'text', b: 'text' })

async function read(
  content: string,
  format: Partial<typeof csv> = {},
): Promise<Awaited<ReturnType<typeof readDropped>>> {
  return readDropped('x.csv', content, { format: { ...csv, escape: '\\', ...format }, columns })
}

describe('CSV with an escape', () => {
  test.each<[string, string, (string | null)[]]>([
    ["Python's writer without quotes", '1\\,2,say \\"hi\\"', ['1,2', 'say "hi"']],
    ['Spark, which escapes quotes within quotes', '"say \\"hi\\"","a,b"', ['say "hi"', 'a,b']],
    ['an escaped escape', 'C:\\\\dir\\\\,x', ['C:\\dir\\', 'x']],
    ['an escaped line end', 'one\\\ntwo,"three\\\nfour"', ['one\ntwo', 'three\nfour']],
    ['a quote that stands twice', '"a""b",x', ['a"b', 'x']],
    ['a letter or a digit behind it, where it stands for itself', 'a\\nb,"\\d+"', ['a\\nb', '\\d+']],
  ])('%s is read as it was meant', async (_, line, row) => {
    for (const end of ['\n', '\r\n', '']) {
      const found = await read(`a,b${end || '\n'}${line}${end}`)
      expect(found.rejects).toEqual([])
      expect(found.rows).toEqual([row])
    }
  })

  test('the last byte of a file is itself', async () => {
    expect((await read('a,b\na,b\\')).rows).toEqual([['a', 'b\\']])
  })

  test('a NULL of MySQL and Hive is one only where nothing quotes it', async () => {
    const found = await read('a\tb\n\\N\t"\\N"\n\\\\N\tx\n', { delimiter: '\t', nulls: ['\\N'] })
    expect(found.rows).toEqual([
      [null, '\\N'],
      ['\\N', 'x'],
    ])
  })

  test('lines keep their numbers behind values of several lines, and a bad line is set aside', async () => {
    const found = await read('a,b\n1\\\n\\\n,x\n2,y\n3\n4,"z\n')
    expect(found.rows).toEqual([
      ['1\n\n', 'x'],
      ['2', 'y'],
    ])
    expect(found.lines).toEqual([2, 5])
    expect(found.rejects.map(it => [it.line, it.reason])).toEqual([
      [6, 'LINE_RAGGED'],
      [7, 'LINE_QUOTE'],
    ])
  })

  test('any text comes back, with and without quotes', async () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '1', '\\', ',', '"', '\n', '가', ' '),
      minLength: 1,
      maxLength: 12,
    })
    const bare = (value: string): string => value.replaceAll(/[\\,"\n]/g, '\\$&')
    const inQuotes = (value: string): string => `"${value.replaceAll(/[\\"]/g, '\\$&')}"`
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 20 }), async rows => {
        const found = await read(`a,b\n${rows.map(([a, b]) => `${bare(a)},${inQuotes(b)}\n`).join('')}`)
        expect(found.rejects).toEqual([])
        expect(found.rows).toEqual(rows)
      }),
      { numRuns: 50 },
    )
  })
})
