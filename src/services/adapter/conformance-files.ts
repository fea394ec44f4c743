import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { isValid } from '../../core/batch.ts'
import { isNaruError } from '../../core/errors.ts'
import type { RowReject } from './contract.ts'
import type { FilesShape, ReadsFiles, TakenFile } from './contract-files.ts'

/** A folder that the promises are checked against: how a test drops files into it, and the adapter that reads it. */
export interface FilesSystem {
  /** The adapter under test, newly opened. */
  open(): Promise<ReadsFiles>
  /** Writes a file whole, replacing one of that name; the folders of a name such as `in/a.csv` are made. */
  drop(name: string, content: string | Uint8Array): Promise<void>
  remove(name: string): Promise<void>
}

/** One promise of the contract's `ReadsFiles`, checked against an empty folder of its own. */
export interface FilesPromise {
  readonly name: string
  readonly check: (system: FilesSystem) => Promise<void>
}

const signal = new AbortController().signal
const good = 'a,b\n1,2\n3,4\n'

/** What every adapter with files must keep. The test runner of the caller names and runs each. */
export const filesPromises: readonly FilesPromise[] = [
  {
    name: 'a file is listed, taken, read and released',
    check: async system => {
      await system.drop('a.csv', good)
      const files = await system.open()
      const { complete, waiting } = await files.list(shape(), signal)
      assert.deepEqual(waiting, [])
      assert.deepEqual(
        complete.map(file => [file.name, file.bytes]),
        [['a.csv', good.length]],
      )
      const taken = await takeOne(files, 'a.csv')
      assert.equal(taken.contentHash, createHash('sha256').update(good).digest('hex'))
      assert.deepEqual((await readAll(files, taken)).rows, [
        ['1', '2'],
        ['3', '4'],
      ])
      await files.release(taken)
      await files.release(taken)
      await assert.rejects(readAll(files, taken))
    },
  },
  {
    name: 'only the files of the pattern are seen, in the order of time, then name',
    check: async system => {
      const names = ['b_2.csv', 'b_1.csv', 'x.txt', 'b_1.csv.bak', 'ab_1.csv', '한 b_3.csv']
      for (const name of names) await system.drop(name, good)
      const files = await system.open()
      const { complete } = await files.list(shape({ glob: 'b_?.csv' }), signal)
      assert.deepEqual(complete.map(file => file.name).sort(), ['b_1.csv', 'b_2.csv'])
      const all = (await files.list(shape({ glob: '*b_*' }), signal)).complete
      assert.equal(all.length, 5)
      for (const [i, file] of all.slice(1).entries()) {
        const before = all[i] as typeof file
        const later = file.modifiedMicros > before.modifiedMicros
        assert.ok(later || (file.modifiedMicros === before.modifiedMicros && file.name > before.name))
      }
    },
  },
  {
    name: 'a file whose name says that it is being written is never taken',
    check: async system => {
      for (const name of ['a.csv.part', 'b.csv.tmp', 'c.csv.filepart', '.d.csv']) await system.drop(name, good)
      const { complete, waiting } = await (await system.open()).list(shape(), signal)
      assert.deepEqual(complete, [])
      assert.deepEqual(
        waiting.map(it => it.name),
        ['.d.csv', 'a.csv.part', 'b.csv.tmp', 'c.csv.filepart'],
      )
    },
  },
  {
    name: 'files of sub-folders are found by the pattern, each under its key',
    check: async system => {
      const names = ['in/dt=1/a.csv', 'in/dt=2/deep/b.csv', 'in/other/c.csv', 'in/d.csv', 'e.csv', 'in/dt=1/_tmp/f.csv']
      for (const name of names) await system.drop(name, good)
      const files = await system.open()
      const found = async (glob: string): Promise<readonly string[]> =>
        (await files.list(shape({ glob }), signal)).complete.map(file => file.name).sort()
      assert.deepEqual(await found('in/dt=*/*.csv'), ['in/dt=1/a.csv'])
      assert.deepEqual(await found('in/dt=*/**/*.csv'), ['in/dt=1/a.csv', 'in/dt=2/deep/b.csv'])
      assert.deepEqual(await found('*.csv'), ['e.csv'])
      assert.deepEqual(await found('in/*.csv'), ['in/d.csv'])
      const taken = await takeOne(files, 'in/dt=2/deep/b.csv', { glob: '**/*.csv' })
      assert.equal((await readAll(files, taken)).rows.length, 2)
    },
  },
  {
    name: 'with markers a file waits for its own',
    check: async system => {
      await system.drop('half.csv', 'a,b\n1,')
      await system.drop('whole.csv', good)
      await system.drop('whole.csv.done', '')
      await system.drop('day/part-0.csv', good)
      await system.drop('day/part-1.csv', good)
      await system.drop('day/_SUCCESS', '')
      const files = await system.open()
      const beside = await files.list(shape({ done: '*.done' }), signal)
      assert.deepEqual(
        beside.complete.map(file => file.name),
        ['whole.csv'],
      )
      assert.match(beside.waiting[0]?.why ?? '', /half\.csv\.done/)
      const inFolder = await files.list(shape({ glob: '**/*.csv', done: '_SUCCESS' }), signal)
      assert.deepEqual(inFolder.complete.map(file => file.name).sort(), ['day/part-0.csv', 'day/part-1.csv'])
      assert.equal(inFolder.waiting.length, 2)
    },
  },
  {
    name: 'with side-cars a file waits for its own',
    check: async system => {
      await system.drop('half.csv', 'a,b\n1,')
      await system.drop('whole.csv', good)
      await system.drop('whole.csv.md5', `${md5(good)}  whole.csv\n`)
      const files = await system.open()
      const { complete, waiting } = await files.list(shape({ checksum: 'md5-sidecar' }), signal)
      assert.deepEqual(
        complete.map(file => file.name),
        ['whole.csv'],
      )
      assert.equal(waiting[0]?.name, 'half.csv')
      assert.match(waiting[0].why, /half\.csv\.md5/)
    },
  },
  {
    name: 'a side-car is understood as the usual tools write it',
    check: async system => {
      const sums = [md5(good), `${md5(good).toUpperCase()}\r\n`, `${md5(good)} *a.csv`, `MD5 (a.csv) = ${md5(good)}\n`]
      const files = await system.open()
      await system.drop('a.csv', good)
      for (const sum of sums) {
        await system.drop('a.csv.md5', sum)
        await files.release(await takeOne(files, 'a.csv', { checksum: 'md5-sidecar' }))
      }
      await system.drop('a.csv.sha256', `${createHash('sha256').update(good).digest('hex')}  a.csv`)
      await files.release(await takeOne(files, 'a.csv', { checksum: 'sha256-sidecar' }))
    },
  },
  {
    name: 'a file that does not match its side-car is refused with both sums, and others are taken',
    check: async system => {
      for (const name of ['bad.csv', 'empty.csv', 'good.csv']) await system.drop(name, good)
      await system.drop('bad.csv.md5', md5('something else'))
      await system.drop('empty.csv.md5', '')
      await system.drop('good.csv.md5', md5(good))
      const files = await system.open()
      const checked = { checksum: 'md5-sidecar' } as const
      await assert.rejects(takeOne(files, 'bad.csv', checked), error => {
        assert.ok(isNaruError(error, 'FILE_CHECKSUM'))
        assert.ok(error.message.includes(md5('something else')) && error.message.includes(md5(good)))
        return true
      })
      await assert.rejects(takeOne(files, 'empty.csv', checked), error => isNaruError(error, 'FILE_CHECKSUM'))
      assert.equal((await readAll(files, await takeOne(files, 'good.csv', checked))).rows.length, 2)
    },
  },
  {
    name: 'a file that grew or shrank since it was listed is refused',
    check: async system => {
      const files = await system.open()
      for (const other of [`${good}5,6\n`, 'a,b\n']) {
        await system.drop('a.csv', good)
        const { complete } = await files.list(shape(), signal)
        await system.drop('a.csv', other)
        const [file] = complete
        assert.ok(file !== undefined)
        await assert.rejects(files.take(file, shape(), signal), error => isNaruError(error, 'FILE_CHANGED'))
      }
    },
  },
  {
    name: 'the same content under two names has one identity',
    check: async system => {
      await system.drop('monday.csv', good)
      await system.drop('monday again.csv', good)
      const files = await system.open()
      const both = [await takeOne(files, 'monday.csv'), await takeOne(files, 'monday again.csv')]
      assert.equal(both[0]?.contentHash, both[1]?.contentHash)
      assert.notEqual(both[0]?.localPath, both[1]?.localPath)
    },
  },
  {
    name: 'bad lines become rejects with their numbers, and the others are read',
    check: async system => {
      const lines = ['\ufeffa,b', '1,2', 'ragged', '"x\ny",4', '5,"open', '6,7']
      await system.drop('a.csv', lines.join('\r\n'))
      const files = await system.open()
      const { rows, rejects } = await readAll(files, await takeOne(files, 'a.csv'))
      assert.deepEqual(rows, [
        ['1', '2'],
        ['x\ny', '4'],
        ['6', '7'],
      ])
      assert.deepEqual(
        rejects.map(it => [it.reason, it.line]),
        [
          ['LINE_RAGGED', 3],
          ['LINE_QUOTE', 6],
        ],
      )
    },
  },
  {
    name: 'text arrives whatever its encoding',
    check: async system => {
      await system.drop('a.csv', Buffer.from('612c620ac0cec3b52cb4ebc7d1b9ceb1b90a', 'hex'))
      const files = await system.open()
      const { rows } = await readAll(files, await takeOne(files, 'a.csv'), { encoding: 'cp949' })
      assert.deepEqual(rows, [['인천', '대한민국']])
    },
  },
  {
    name: 'a file without a declared column is refused by its name and the column',
    check: async system => {
      await system.drop('a.csv', 'a,c\n1,2\n')
      const files = await system.open()
      await assert.rejects(readAll(files, await takeOne(files, 'a.csv')), error => {
        assert.ok(isNaruError(error, 'FILE_COLUMN_MISSING'))
        assert.match(error.message, /"a\.csv".*"b"/)
        return true
      })
    },
  },
  {
    name: 'a cancelled take leaves nothing and can be repeated',
    check: async system => {
      await system.drop('a.csv', good)
      const files = await system.open()
      const controller = new AbortController()
      const { complete } = await files.list(shape(), signal)
      controller.abort(new Error('stop now'))
      await assert.rejects(files.take(complete[0] as (typeof complete)[0], shape(), controller.signal), /stop now/)
      await files.release(await takeOne(files, 'a.csv'))
    },
  },
]

function shape(more: Partial<FilesShape> = {}): FilesShape {
  const columns = ['a', 'b'].map(name => ({ name, type: { kind: 'text' }, nullable: true, personal: false }) as const)
  return {
    glob: '*.csv',
    columns,
    format: { kind: 'csv', delimiter: null, quote: null, header: true, nulls: [] },
    encoding: 'utf-8',
    checksum: 'none',
    ...more,
  }
}

async function takeOne(files: ReadsFiles, name: string, more: Partial<FilesShape> = {}): Promise<TakenFile> {
  const { complete } = await files.list(shape(more), signal)
  const file = complete.find(it => it.name === name)
  assert.ok(file !== undefined, `${name} is not complete`)
  return files.take(file, shape(more), signal)
}

/** Every row of a taken file as text, and its rejects. */
async function readAll(
  files: ReadsFiles,
  file: TakenFile,
  more: Partial<FilesShape> = {},
): Promise<{ readonly rows: (string | null)[][]; readonly rejects: RowReject[] }> {
  const rows: (string | null)[][] = []
  const rejects: RowReject[] = []
  for await (const { batches } of files.read(file, shape(more), {}, signal)) {
    for await (const part of batches) {
      for (let row = 0; row < part.batch.rows; row++) {
        const values = part.batch.columns.map(column => {
          assert.ok(column.layout === 'bytes', 'files of text give text columns')
          if (!isValid(column.validity, row)) return null
          return Buffer.from(column.data.subarray(column.offsets[row], column.offsets[row + 1])).toString()
        })
        rows.push(values)
      }
      rejects.push(...part.rejects)
    }
  }
  return { rows, rejects }
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex')
}
