import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import * as fc from 'fast-check'
import { columnsOf, csv, readDropped, refused } from './folder.test.support.ts'

const ab = columnsOf({ a: 'text', b: 'text' })

describe('CSV as partners write it', () => {
  const cases: readonly {
    readonly name: string
    readonly text: string
    readonly format?: Partial<typeof csv>
    readonly rows: readonly (readonly (string | null)[])[]
    readonly rejects?: readonly (readonly [string, number])[]
    readonly dialect?: string
  }[] = [
    { name: 'RFC 4180 needs no word', text: 'a,b\n1,"x;y"\n', rows: [['1', 'x;y']] },
    {
      name: 'semicolons are found and told',
      text: 'a;b\n1;x,y\n',
      rows: [['1', 'x,y']],
      dialect: 'semicolons between fields',
    },
    {
      name: "quotes that are ' are found and told",
      text: "'a','b'\n1,'x,''y'\n",
      rows: [['1', "x,'y"]],
      dialect: "' around fields",
    },
    {
      name: 'a ragged file stays ragged: no other delimiter makes one column of it',
      text: 'a,b\n1;2\n3,4\n5,6,7\n',
      rows: [['3', '4']],
      rejects: [
        ['LINE_RAGGED', 2],
        ['LINE_RAGGED', 4],
      ],
    },
    {
      name: 'declared delimiter, no quotes',
      text: 'a|b\n"1|2"\n',
      format: { delimiter: '|', quote: '' },
      rows: [['"1', '2"']],
    },
    {
      name: 'no header: the declared columns in order',
      text: '1;2\n3;4;5\n6;7\n',
      format: { header: false },
      rows: [
        ['1', '2'],
        ['6', '7'],
      ],
      rejects: [['LINE_RAGGED', 2]],
      dialect: 'semicolons between fields',
    },
    {
      name: 'texts that mean NULL, unless they are quoted',
      text: 'a,b\nNULL,"NULL"\n\\N,NULLS\n',
      format: { nulls: ['NULL', '\\N'] },
      rows: [
        [null, 'NULL'],
        [null, 'NULLS'],
      ],
    },
  ]
  for (const { name, text, format, rows, rejects = [], dialect } of cases) {
    test(name, async () => {
      const got = await readDropped('x.csv', text, { columns: ab, format: { ...csv, ...format } })
      assert.deepEqual(got.rows, rows)
      assert.deepEqual(
        got.rejects.map(it => [it.reason, it.line]),
        rejects,
      )
      assert.equal(got.dialect, dialect)
    })
  }

  test('a file of too many columns is refused', async () => {
    const header = Array.from({ length: 50 }, (_, i) => `c${i}`).join(',')
    const read = readDropped('x.csv', `a,b,${header}\n`, { columns: ab, format: csv }, { maxColumns: 20 })
    await assert.rejects(read, refused('FILE_LIMIT', 'columns', 'maxColumns'))
  })

  test('a file of too many rows is refused', async () => {
    const read = readDropped('x.csv', `a,b\n${'1,2\n'.repeat(50)}`, { columns: ab, format: csv }, { maxRows: 20 })
    await assert.rejects(read, refused('FILE_LIMIT', 'rows', 'maxRows'))
  })
})

describe('JSON', () => {
  const ndjson = { kind: 'ndjson' } as const

  test('numbers keep every digit, texts every character, nested values their text', async () => {
    const text = [
      '{"a": 9007199254740993, "b": "x\\ny \\ud83d\\ude00 \\u00e9"}',
      '{"b":123456789012345678901234567890.10,"a":"한"}\r',
      '',
      '{"a":{"x":[1,2,{"y":1.0}]},"b":[]}',
      '{"a":true,"b":""}',
      '{"\\u0061":null,"b":-0.5e-10}',
    ].join('\n')
    const got = await readDropped('x.ndjson', text, { columns: ab, format: ndjson })
    assert.deepEqual(got.rejects, [])
    assert.deepEqual(got.rows, [
      ['9007199254740993', 'x\ny 😀 é'],
      ['한', '123456789012345678901234567890.10'],
      ['{"x":[1,2,{"y":1.0}]}', '[]'],
      ['true', ''],
      [null, '-0.5e-10'],
    ])
    assert.deepEqual(got.lines, [1, 2, 4, 5, 6])
  })

  test('a member that is missing is NULL where the column may be, and a reject where it may not', async () => {
    const columns = columnsOf({ 'a!': 'text', b: 'text' })
    const got = await readDropped('x.ndjson', '{"a":1}\n{"b":2}\n{"a":null,"b":3,"c":4}\n', { columns, format: ndjson })
    assert.deepEqual(got.rows, [
      ['1', null],
      [null, '3'],
    ])
    assert.deepEqual(
      got.rejects.map(it => [it.reason, it.line, it.content]),
      [['LINE_FIELD_MISSING', 2, '{"b":2}']],
    )
    assert.deepEqual(got.unknownColumns, ['c'])
  })

  const bad: readonly (readonly [string, string])[] = [
    ['{"a":1', 'in the middle'],
    ['{"a":1}x', 'more behind'],
    ['[1]', 'no JSON object'],
    ['{"a":01}', 'no number'],
    ['{"a":1.}', 'no number'],
    ['{"a":nul}', 'none'],
    ['{"a":"\\ud800"}', 'half of a character'],
    ['{"a":"\\u0000"}', 'NUL'],
    ['{"a":1,"a":2}', 'twice'],
    ['{"a":1,}', 'no quote'],
    [`{"a":${'['.repeat(200)}${']'.repeat(200)}}`, 'maxDepth'],
    [`{"a":[${'0,'.repeat(600)}0]}`, 'maxElements'],
  ]
  test.each(bad)('%s is rejected with its line, and the next is read', async (text, why) => {
    const shape = { columns: ab, format: ndjson }
    const got = await readDropped('x.ndjson', `{"a":1}\n${text}\n{"a":2}\n`, shape, { maxElements: 500 })
    assert.deepEqual(got.lines, [1, 3])
    const [reject] = got.rejects
    assert.deepEqual([reject?.reason, reject?.line, reject?.bytes], ['LINE_JSON', 2, text.length])
    assert.ok(reject?.detail.includes(why), reject?.detail)
  })

  test('every line is a row or a reject, and what is JSON reads as JSON.parse does', async () => {
    const line = fc.oneof(
      fc.json().map(json => json.replaceAll('\n', ' ')),
      fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.jsonValue()).map(it => JSON.stringify(it)),
      fc.string({ unit: fc.constantFrom('{', '}', '"', 'a', ':', ',', '1', '[', ']', ' '), minLength: 1 }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 30 }), async lines => {
        const got = await readDropped('x.ndjson', lines.map(it => `${it}\n`).join(''), { columns: ab, format: ndjson })
        const used = [...got.lines, ...got.rejects.map(it => it.line as number)].sort((x, y) => x - y)
        assert.deepEqual(
          used,
          lines.flatMap((it, i) => (it === '' ? [] : [i + 1])),
        )
        got.lines.forEach((number, i) => {
          const value = JSON.parse(lines[number - 1] as string) as Readonly<Record<string, unknown>>
          for (const [c, name] of ['a', 'b'].entries()) assertSame(got.rows[i]?.[c], value[name])
        })
      }),
      { numRuns: 40 },
    )
  })

  function assertSame(text: string | null | undefined, value: unknown): void {
    if (value === null || value === undefined) assert.equal(text, null)
    else if (typeof value === 'string') assert.equal(text, value)
    else assert.deepEqual(JSON.parse(text as string), value)
  }

  const json = { kind: 'json', path: [] } as const
  test('an array of objects on one line; an element that is none is rejected by its number', async () => {
    const got = await readDropped('x.json', ' [{"a":1,"b":2},7,{"a":3}] \n', { columns: ab, format: json })
    assert.deepEqual(got.rows, [
      ['1', '2'],
      ['3', null],
    ])
    assert.deepEqual(got.lines, [1, 3])
    assert.deepEqual(
      got.rejects.map(it => [it.reason, it.line, it.content]),
      [['LINE_JSON', 2, '7']],
    )
  })

  test('the array may lie inside, by a path', async () => {
    const text = '{"meta":{"items":[0]},"result":{"n":2,"items":[{"a":"x"}, {"a":"y"}],"z":[{}]},"end":null}'
    const got = await readDropped('x.json', text, { columns: ab, format: { kind: 'json', path: ['result', 'items'] } })
    assert.deepEqual(got.rows, [
      ['x', null],
      ['y', null],
    ])
    const missing = readDropped('x.json', text, { columns: ab, format: { kind: 'json', path: ['resultat'] } })
    await assert.rejects(missing, refused('FILE_DAMAGED', 'resultat'))
  })

  test.each(['[{"a":1}', '[{"a":1}] x', '[{"a":1} {"a":2}]', '{"a":1}', '', '[{"a":1},{"a"}]'])(
    'a document that is no array of JSON stops the file: %s',
    async text => {
      await assert.rejects(readDropped('x.json', text, { columns: ab, format: json }), refused('FILE_DAMAGED'))
    },
  )

  test('one value without end stops the file at the limit', async () => {
    const read = readDropped('x.json', `[{"a":"${'x'.repeat(3 << 20)}`, { columns: ab, format: json })
    await assert.rejects(read, refused('FILE_LIMIT', 'maxLineBytes'))
  })
})

describe('fixed width', () => {
  const fields = [
    { name: 'a', width: 3 },
    { name: '_', width: 1 },
    { name: 'b', width: 4 },
  ]
  const fixed = { kind: 'fixed', fields, unit: 'characters', header: false } as const

  test('fields by their place; spaces are padding, and a field of spaces is NULL', async () => {
    const got = await readDropped('x.txt', '001-서울  \n002 x\r\n   -abcd\n\n12\n003-abcde\n', {
      columns: ab,
      format: fixed,
    })
    assert.deepEqual(got.rows, [
      ['001', '서울'],
      ['002', 'x'],
      [null, 'abcd'],
    ])
    assert.deepEqual(
      got.rejects.map(it => [it.reason, it.line, it.content]),
      [
        ['LINE_SHORT', 5, '12'],
        ['LINE_SHORT', 6, '003-abcde'],
      ],
    )
  })

  test('widths in bytes of the encoding, as older systems count', async () => {
    // 서울 takes 4 bytes in cp949.
    const bytes = Buffer.concat([
      Buffer.from('001-'),
      Buffer.from([0xbc, 0xad, 0xbf, 0xef]),
      Buffer.from('\n002-a'),
      Buffer.from([0xbc, 0xad, 0xbf]),
      Buffer.from('\n'),
    ])
    const format = { ...fixed, unit: 'bytes' } as const
    const got = await readDropped('x.txt', bytes, { columns: ab, format, encoding: 'cp949' })
    assert.deepEqual(got.rows, [['001', '서울']])
    assert.deepEqual(
      got.rejects.map(it => [it.reason, it.line]),
      [['LINE_NOT_TEXT', 2]],
    )
  })
})

describe('a trailer', () => {
  const trailer = String.raw`^T;(?<count>\d+);(?<b>-?[\d.]+)$`
  const shape = { columns: ab, format: csv, trailer }

  test('that agrees is no row', async () => {
    const got = await readDropped('x.csv', 'a;b\n1;10.5\n2;-0.25\nT;2;10.250\n', shape)
    assert.deepEqual(got.rows, [
      ['1', '10.5'],
      ['2', '-0.25'],
    ])
    assert.deepEqual(got.rejects, [])
  })

  test.each([
    ['a;b\n1;10.5\n2;1\nT;3;11.5\n', 'says 3 rows, the file has 2'],
    ['a;b\n1;10.5\n2;1\nT;2;11.6\n', 'in the file it is 11.5'],
    ['a;b\n1;10.5\n2;x\nT;2;10.5\n', 'not all numbers'],
    ['a;b\n1;10.5\n2;1\n', 'its last line is "2;1"'],
    ['', 'its last line is ""'],
  ])('that does not agree stops the file: %j', async (text, why) => {
    await assert.rejects(
      readDropped('x.csv', text === '' ? 'a;b\n' : text, shape),
      text === '' ? error => error instanceof Error : refused('FILE_TRAILER', why),
    )
  })

  test('counts rejected lines as well, and holds for JSON lines', async () => {
    const text = '{"a":1}\nbad\n{"a":3}\n#3\n\n'
    const format = { kind: 'ndjson' } as const
    const got = await readDropped('x.ndjson', text, { columns: ab, format, trailer: String.raw`^#(?<count>\d+)$` })
    assert.equal(got.rows.length, 2)
    assert.equal(got.rejects.length, 1)
  })
})

test('columns of the path stand in every row', async () => {
  const columns = columnsOf({ dt: 'date', a: 'text', region: 'text' })
  const name = 'dt=2026-11-01/region=__HIVE_DEFAULT_PARTITION__/a%20b=1/x.csv'
  const got = await readDropped(name, 'a\n1\n2\n', { columns, format: csv, glob: 'dt=*/**/*.csv' })
  assert.deepEqual(got.rows, [
    ['2026-11-01', '1', null],
    ['2026-11-01', '2', null],
  ])
})
