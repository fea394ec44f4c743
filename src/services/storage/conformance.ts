import assert from 'node:assert/strict'
import { isNaruError } from '../../core/errors.ts'
import { rejectsWith } from '../../testing/suite/rejects.ts'
import { hostileNames } from './conformance-names.ts'
import type { Storage, Stored } from './contract.ts'

/** One promise of the storage contract, checked against an empty storage of its own. */
export interface StoragePromise {
  readonly name: string
  /** What the storage must have for the promise to apply. */
  readonly when?: (storage: Storage) => boolean
  readonly check: (storage: Storage) => Promise<void>
}

const signal = new AbortController().signal

/** What every storage must keep. The test runner of the caller names and runs each. */
export const storagePromises: readonly StoragePromise[] = [
  {
    name: 'what was put is given back byte by byte, with its size and a time',
    check: async storage => {
      const body = pattern(3_000_000)
      const stored = await storage.put('a.bin', stream(body), signal)
      assert.equal(stored.bytes, body.length)
      assert.deepEqual(await storage.stat('a.bin', signal), stored)
      assert.ok(Buffer.compare(await read(storage, 'a.bin', 0), body) === 0)
    },
  },
  {
    name: 'a read goes on behind the bytes that were already given',
    check: async storage => {
      const body = pattern(200_000)
      await storage.put('a.bin', stream(body), signal)
      assert.ok(Buffer.compare(await read(storage, 'a.bin', 150_001), body.subarray(150_001)) === 0)
      assert.equal((await read(storage, 'a.bin', 200_000)).length, 0)
    },
  },
  {
    name: 'putting again replaces the file whole',
    check: async storage => {
      await storage.put('a.txt', stream(Buffer.from('a longer text')), signal)
      await storage.put('a.txt', stream(Buffer.from('short')), signal)
      assert.equal(String(await read(storage, 'a.txt', 0)), 'short')
    },
  },
  {
    name: 'a broken put leaves nothing visible, and what was there before',
    check: async storage => {
      await assert.rejects(storage.put('a.txt', breakAfter('half'), signal), /broken body/)
      assert.deepEqual(await names(storage, ''), [])
      await storage.put('a.txt', stream(Buffer.from('whole')), signal)
      await assert.rejects(storage.put('a.txt', breakAfter('half'), signal), /broken body/)
      assert.equal(String(await read(storage, 'a.txt', 0)), 'whole')
      assert.deepEqual(await names(storage, ''), ['a.txt'])
    },
  },
  {
    name: 'a listing gives the files of one folder by name, with their sizes, whatever their script',
    check: async storage => {
      const texts = ['공항 목록.csv', 'b.csv', 'a b.csv', 'ünïcode.csv', '-a.csv', 'in/c.csv']
      for (const key of texts) await storage.put(key, stream(Buffer.from(key)), signal)
      assert.deepEqual(await names(storage, ''), texts.slice(0, 5).sort())
      assert.deepEqual(await names(storage, 'in'), ['in/c.csv'])
      const { files } = await storage.list('', signal)
      assert.ok(files.every(file => file.bytes === Buffer.byteLength(file.key)))
      for (const key of texts) assert.equal(String(await read(storage, key, 0)), key)
    },
  },
  {
    name: 'of many that put one key at the same time exactly one wins, and its bytes stay',
    when: storage => storage.putIfAbsent !== undefined,
    check: async storage => {
      // Over the size of a part as well: the condition must hold for what is sent in parts.
      for (const [key, bytes] of [
        ['log/1', 1000],
        ['log/2', 6_000_000],
      ] as const) {
        // prettier-ignore
        const bodies = Array.from({ length: bytes > 1000 ? 4 : 12 }, (_, i) => pattern(bytes + i))
        const put = (body: Buffer): Promise<Stored> =>
          (storage.putIfAbsent as NonNullable<Storage['putIfAbsent']>)(key, stream(body), signal)
        const ended = await Promise.allSettled(bodies.map(put))
        const won = ended.flatMap((it, i) => (it.status === 'fulfilled' ? [i] : []))
        assert.equal(won.length, 1, ended.map(it => String(it.status === 'rejected' ? it.reason : '')).join('; '))
        for (const it of ended)
          if (it.status === 'rejected') assert.ok(isNaruError(it.reason, 'STORAGE_EXISTS'), String(it.reason))
        assert.ok(Buffer.compare(await read(storage, key, 0), bodies[won[0] as number] as Buffer) === 0)
        await rejectsWith('STORAGE_EXISTS', put(pattern(bytes)))
        assert.ok((await names(storage, 'log')).includes(key))
        await storage.put(key, stream(pattern(7)), signal)
        assert.equal((await storage.stat(key, signal)).bytes, 7)
      }
      assert.deepEqual(await names(storage, 'log'), ['log/1', 'log/2'])
      assert.deepEqual((await storage.removeAbandoned?.(0, signal)) ?? [], [])
    },
  },
  {
    name: 'a large file is put in parts, byte by byte, and a broken one leaves nothing behind',
    when: storage => storage.removeAbandoned !== undefined,
    check: async storage => {
      const body = pattern(21_000_000)
      const stored = await storage.put('big.bin', stream(body), signal)
      assert.equal(stored.bytes, body.length)
      assert.ok(Buffer.compare(await read(storage, 'big.bin', 0), body) === 0)
      await assert.rejects(storage.put('other.bin', breakAfter(body), signal), /broken body/)
      assert.deepEqual(await names(storage, ''), ['big.bin'])
      assert.deepEqual(await storage.removeAbandoned?.(0, signal), [])
    },
  },
  {
    name: 'a listing enters the sub-folders that it is told to, however deep',
    check: async storage => {
      const keys = ['a.csv', 'in/b.csv', 'in/dt=1/c.csv', 'in/dt=1/deep/er/d.csv', 'in/dt=2/e.csv', 'no/f.csv']
      for (const key of keys) await storage.put(key, stream(Buffer.from(key)), signal)
      const entered: string[] = []
      const all = await storage.list('', signal, folder => entered.push(folder) > 0)
      assert.deepEqual(
        all.files.map(file => file.key),
        keys,
      )
      assert.deepEqual([...new Set(entered)].sort(), [
        'in',
        'in/dt=1',
        'in/dt=1/deep',
        'in/dt=1/deep/er',
        'in/dt=2',
        'no',
      ])
      const some = await storage.list('in', signal, folder => folder !== 'in/dt=1')
      assert.deepEqual(
        some.files.map(file => file.key),
        ['in/b.csv', 'in/dt=2/e.csv'],
      )
    },
  },
  {
    name: 'a file that is not there has its own error',
    check: async storage => {
      await rejectsWith('STORAGE_NOT_FOUND', storage.stat('none.csv', signal))
      await rejectsWith('STORAGE_NOT_FOUND', read(storage, 'none.csv', 0))
      await rejectsWith('STORAGE_NOT_FOUND', storage.list('no/such/folder', signal))
    },
  },
  {
    name: 'removing works once and is harmless twice',
    check: async storage => {
      await storage.put('a.txt', stream(Buffer.from('x')), signal)
      await storage.remove('a.txt', signal)
      await storage.remove('a.txt', signal)
      assert.deepEqual(await names(storage, ''), [])
    },
  },
  {
    name: 'no key leads out of the folder, into another command or to another name',
    check: async storage => {
      for (const { name: key, verdict } of hostileNames) {
        if (verdict === 'kept') continue
        const tasks: (() => Promise<unknown>)[] = [
          () => storage.stat(key, signal),
          () => read(storage, key, 0),
          () => storage.remove(key, signal),
          () => storage.put(key, stream(Buffer.from('x')), signal),
          async () => storage.putIfAbsent?.(key, stream(Buffer.from('x')), signal) ?? storage.stat(key, signal),
          () => (key === '' ? storage.stat(key, signal) : storage.list(key, signal)),
        ]
        for (const task of tasks) await rejectsWith('PATH_OUTSIDE', attempt(task))
      }
    },
  },
  {
    name: 'a name that only looks dangerous is a file of exactly that name',
    check: async storage => {
      const keys = hostileNames.filter(it => it.verdict === 'kept').map(it => it.name)
      for (const key of keys) await storage.put(key, stream(Buffer.from(key)), signal)
      const { files, refused } = await storage.list('', signal, () => true)
      assert.deepEqual(files.map(file => file.key).sort(), keys.toSorted())
      assert.deepEqual(refused, [])
      for (const key of keys) assert.equal(String(await read(storage, key, 0)), key)
    },
  },
  {
    name: 'many tasks read and write at once, and a reader that stops early harms none',
    check: async storage => {
      const body = pattern(300_000)
      const keys = Array.from({ length: 8 }, (_, i) => `f${i}.bin`)
      await Promise.all(keys.map(key => storage.put(key, stream(body), signal)))
      for await (const chunk of storage.get('f0.bin', 0, signal)) if (chunk.length > 0) break
      const all = await Promise.all(keys.map(key => read(storage, key, 0)))
      assert.ok(all.every(got => Buffer.compare(got, body) === 0))
    },
  },
  {
    name: 'a cancelled call ends with the reason it was given',
    check: async storage => {
      await storage.put('a.bin', stream(pattern(2_000_000)), signal)
      const controller = new AbortController()
      controller.abort(new Error('stop now'))
      await assert.rejects(
        attempt(() => storage.stat('a.bin', controller.signal)),
        /stop now/,
      )
      await assert.rejects(read(storage, 'a.bin', 0, controller.signal), /stop now/)
      assert.equal((await storage.stat('a.bin', signal)).bytes, 2_000_000)
    },
  },
  {
    name: 'after close every call says so',
    check: async storage => {
      await storage.close()
      await rejectsWith(
        'STORAGE_CLOSED',
        attempt(() => storage.stat('a', signal)),
      )
      await rejectsWith(
        'STORAGE_CLOSED',
        attempt(() => storage.list('', signal)),
      )
      await rejectsWith('STORAGE_CLOSED', read(storage, 'a', 0))
    },
  },
]

async function* stream(body: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536)
}

async function* breakAfter(text: string | Uint8Array): AsyncIterable<Uint8Array> {
  yield typeof text === 'string' ? Buffer.from(text) : text
  throw new Error('broken body')
}

function pattern(bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 255))
}

async function read(storage: Storage, key: string, from: number, until = signal): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of storage.get(key, from, until)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function names(storage: Storage, folder: string): Promise<readonly string[]> {
  const { files } = await storage.list(folder, signal)
  return files.map((file: Pick<Stored, 'key'>) => file.key)
}

async function attempt<T>(task: () => Promise<T>): Promise<T> {
  return task()
}
