import { describe, expect, test } from 'vitest'
import { realEnv, type Env } from '../../../core/env.ts'
import { forgetfulDisk, type ForgetfulDisk } from '../../../testing/forgetful-files.ts'
import { rejectsWith } from '../../../testing/suite/rejects.ts'
import type { Bus, Message, Topic } from '../contract.ts'
import { openBus } from '../registry.ts'
import { HEAD_BYTES, RECORD_BYTES } from './format.ts'

const folder = '/state/bus/t'
const never = new AbortController().signal
let processes = 0

interface World {
  readonly bus: Bus
  readonly topic: Topic
  readonly notes: string[]
}

/** A process of its own on that disk. */
async function open(disk: ForgetfulDisk, options: object = {}, keepBytes = 1e9): Promise<World> {
  const real = realEnv()
  const pid = ++processes
  const env: Env = { ...real, files: disk.files, processes: { ...real.processes, pid, isAlive: it => it === pid } }
  const notes: string[] = []
  const tell = (note: { readonly code: string; readonly text: string }): void =>
    void notes.push(`${note.code} ${note.text}`)
  const bus = await openBus('log', { options: { ...options }, stateDir: '/state', env, tell })
  return { bus, topic: await bus.openTopic('t', { keepBytes }), notes }
}

/** A disk with a topic of these messages, each of a write of its own. */
async function written(texts: readonly string[], options: object = {}): Promise<ForgetfulDisk> {
  const disk = forgetfulDisk()
  const { bus, topic } = await open(disk, options)
  for (const it of texts) await topic.append([text(it)])
  await bus.close()
  return disk
}

function text(value: string): Message {
  return { key: null, value: Buffer.from(value) }
}

async function texts(topic: Topic, passGaps = false, after: string | null = null): Promise<readonly string[]> {
  const newest = (await topic.last())?.position
  const stop = new AbortController()
  const all: string[] = []
  for await (const messages of topic.read(after, { bytes: 4_000, signal: stop.signal, passGaps })) {
    all.push(...messages.map(it => Buffer.from(it.value).toString()))
    if (messages.at(-1)?.position === newest) stop.abort()
  }
  return all
}

async function segmentsOf(disk: ForgetfulDisk): Promise<readonly string[]> {
  const names = (await disk.files.readdir(folder)) as unknown as string[]
  return names.filter(name => name.endsWith('.log')).sort()
}

async function flip(disk: ForgetfulDisk, name: string, at: number): Promise<void> {
  const handle = await disk.files.open(`${folder}/${name}`, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, at)
  byte[0] = (byte[0] as number) ^ 0x10
  await handle.write(byte, 0, 1, at)
}

async function truncate(disk: ForgetfulDisk, name: string, bytes: number): Promise<void> {
  await (await disk.files.open(`${folder}/${name}`, 'r+')).truncate(bytes)
}

const recordBytes = RECORD_BYTES + 8
const only = `${'0'.repeat(20)}.log`

describe('a broken end', () => {
  test('cut at any byte of the last record is cut off and told, and its position is not used again', async () => {
    for (let kept = 0; kept < recordBytes; kept++) {
      const disk = await written(['aaaaaaaa', 'bbbbbbbb', 'cccccccc'])
      await truncate(disk, only, HEAD_BYTES + 2 * recordBytes + kept)
      const { topic, notes } = await open(disk)
      expect(await texts(topic)).toEqual(['aaaaaaaa', 'bbbbbbbb'])
      expect(notes.map(it => it.split(' ')[0])).toEqual(kept === 0 ? [] : ['BUS_END_CUT'])
      const position = await topic.append([text('d')])
      expect(Number(position)).toBeGreaterThan(kept === 0 ? 1 : 2)
      expect(await texts(topic)).toEqual(['aaaaaaaa', 'bbbbbbbb', 'd'])
    }
  })

  test('changed at any byte is cut off, and what follows is read without a gap', async () => {
    for (let at = 0; at < recordBytes; at++) {
      const disk = await written(['aaaaaaaa', 'bbbbbbbb', 'cccccccc'])
      await flip(disk, only, HEAD_BYTES + 2 * recordBytes + at)
      const first = await open(disk)
      expect(await texts(first.topic)).toEqual(['aaaaaaaa', 'bbbbbbbb'])
      await first.topic.append([text('d')])
      await first.bus.close()
      const { topic, notes } = await open(disk)
      expect(await texts(topic)).toEqual(['aaaaaaaa', 'bbbbbbbb', 'd'])
      expect(notes).toEqual([])
    }
  })

  test('of a reader that has read what was cut is an error, never another message at its place', async () => {
    const disk = await written(['aaaaaaaa', 'bbbbbbbb'])
    const first = await open(disk)
    const seen = await first.topic.append([text('cccccccc')])
    await first.bus.close()
    await flip(disk, only, HEAD_BYTES + 2 * recordBytes)
    const { topic } = await open(disk)
    await rejectsWith('BUS_POSITION', texts(topic, false, seen), seen)
    await topic.append([text('d'), text('e')])
    await rejectsWith('BUS_POSITION', texts(topic, false, seen), seen)
    await rejectsWith('BUS_POSITION', texts(topic, true, seen), seen)
  })

  test('of a segment that was being made is no loss', async () => {
    const disk = await written(['aaaaaaaa'])
    await (await disk.files.open(`${folder}/${'0'.repeat(19)}1.log`, 'wx+')).write(Buffer.alloc(40), 0, 40, 0)
    const { topic, notes } = await open(disk)
    await topic.append([text('b')])
    expect(await texts(topic)).toEqual(['aaaaaaaa', 'b'])
    expect(notes).toEqual([])
  })
})

describe('damage before the end', () => {
  test('at any byte of a record loses that record only: told, kept aside, an error of readers that do not pass over it', async () => {
    for (let at = 0; at < recordBytes; at++) {
      const disk = await written(['aaaaaaaa', 'bbbbbbbb', 'cccccccc', 'dddddddd'])
      await flip(disk, only, HEAD_BYTES + recordBytes + at)
      const { topic, notes } = await open(disk)
      await rejectsWith('BUS_GAP', texts(topic), `lacks up to 1 messages behind ${'0'.repeat(20)}`)
      expect(await texts(topic, true)).toEqual(['aaaaaaaa', 'cccccccc', 'dddddddd'])
      expect(notes.map(it => it.split(' ')[0])).toEqual(['BUS_DAMAGED', 'BUS_GAP'])
      expect(await disk.files.readdir(`${folder}/damaged`)).toEqual([only])
      const one = await topic.subscribe('s', 'start')
      expect((await one.next({ messages: 9, signal: never })).messages.length).toBe(1)
      for (let i = 0; i < 2; i++) await rejectsWith('BUS_GAP', one.next({ messages: 9, signal: never }))
    }
  })

  test('that a segment of a sealed file was cut or is gone is a gap, in whatever segment', async () => {
    const all = Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(1_000, 'x'))
    const count = (await segmentsOf(await written(all, { segmentBytes: 4096 }))).length
    expect(count).toBeGreaterThan(10)
    for (let which = 0; which < count - 1; which++) {
      for (const bytes of [0, 30, HEAD_BYTES, HEAD_BYTES + 20, 2_000, null]) {
        const disk = await written(all, { segmentBytes: 4096 })
        const name = (await segmentsOf(disk))[which] as string
        if (bytes === null) await disk.files.rm(`${folder}/${name}`)
        else await truncate(disk, name, bytes)
        const { topic } = await open(disk, { segmentBytes: 4096 })
        await topic.append([text('new')])
        const left = await texts(topic, true)
        const inSegment = 3
        const kept = bytes === 2_000 ? 1 : 0
        expect(left.length).toBe(all.length + 1 - inSegment + kept)
        expect(left.at(-1)).toBe('new')
        // Without its file the topic begins later: that is how retention leaves it.
        if (which > 0 || bytes !== null) await rejectsWith('BUS_GAP', texts(topic), 'lacks up to')
      }
    }
  })

  test('of the head of a segment costs nothing in one half, and in both the segment', async () => {
    for (const halves of [[0], [32], [0, 32]]) {
      for (const which of [1, 13]) {
        const all = Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(1_000, 'x'))
        const disk = await written(all, { segmentBytes: 4096 })
        const segments = await segmentsOf(disk)
        expect(segments.length).toBe(14)
        for (const at of halves) await flip(disk, segments[which] as string, at + 9)
        const { topic } = await open(disk, { segmentBytes: 4096 })
        const position = await topic.append([text('new')])
        expect(Number(position)).toBeGreaterThanOrEqual(40)
        const lost = halves.length === 1 ? 0 : which === 13 ? 1 : 3
        expect((await texts(topic, true)).length).toBe(41 - lost)
        if (lost > 0) await rejectsWith('BUS_GAP', texts(topic), 'lacks up to')
      }
    }
  })

  test('behind the place of a running reader is met by it', async () => {
    const disk = await written(['aaaaaaaa', 'bbbbbbbb', 'cccccccc'])
    const { topic } = await open(disk)
    await flip(disk, only, HEAD_BYTES + 2 * recordBytes + 3)
    const stop = new AbortController()
    const reading = topic.read(null, { bytes: 100, signal: stop.signal, passGaps: true })[Symbol.asyncIterator]()
    const seen: string[] = []
    const take = ({ value }: IteratorResult<readonly Message[], unknown>): void => {
      seen.push(...(value as readonly Message[]).map(it => Buffer.from(it.value).toString()))
    }
    take(await reading.next())
    const next = reading.next()
    await topic.append([text('dddddddd')])
    take(await next)
    expect(seen).toEqual(['aaaaaaaa', 'bbbbbbbb', 'dddddddd'])
    stop.abort()
  })

  test('bytes within a value never pass for a record of the log', async () => {
    const disk = await written(['aaaaaaaa'])
    const handle = await disk.files.open(`${folder}/${only}`, 'r')
    const copy = Buffer.alloc(recordBytes)
    await handle.read(copy, 0, recordBytes, HEAD_BYTES)
    const other = forgetfulDisk()
    const { topic } = await open(other)
    // Numbers 2 and on are wanted there; the copied record calls itself that after its salt was guessed wrong.
    copy.writeBigUInt64LE(2n, 8)
    await topic.append([text('one')])
    await topic.append([{ key: null, value: copy }])
    await topic.append([text('three')])
    await flip(other, only, HEAD_BYTES + recordBytes + 1)
    expect(await texts(topic, true)).toEqual(['one', 'three'])
  })
})

/** An append of the same turn as one that met a full disk fails with it. */
const nextTurn = (): Promise<void> => new Promise(resolve => void setTimeout(resolve, 5))

describe('a disk in trouble', () => {
  test('that is full fails the append, keeps what was answered, and takes more once there is space', async () => {
    const disk = await written(['aaaaaaaa'])
    const { topic } = await open(disk)
    disk.limit(3_000)
    await rejectsWith('DISK_FULL', topic.append([text('b'.repeat(5_000))]), 'bus')
    await rejectsWith('DISK_FULL', topic.append([text('c'.repeat(5_000)), text('d')]))
    expect(await texts(topic)).toEqual(['aaaaaaaa'])
    await nextTurn()
    await topic.append([text('small')])
    disk.limit(1e9)
    await topic.append([text('e'.repeat(5_000))])
    expect((await texts(topic)).map(it => it.slice(0, 5))).toEqual(['aaaaaaaa'.slice(0, 5), 'small', 'eeeee'])
  })

  test('that is full refuses what was to come behind: nothing is there without what came before it', async () => {
    const disk = await written(['aaaaaaaa'])
    const { topic } = await open(disk)
    disk.limit(9_000)
    const tooMuch = [0, 1].map(() => text('b'.repeat(8 * 1024 * 1024 - 100)))
    const first = topic.append(tooMuch)
    // It would fit, and is made before anybody could hear of the first.
    const second = topic.append([text('behind')])
    const third = first.catch(() => topic.append([text('behind that')]))
    await rejectsWith('DISK_FULL', first)
    await rejectsWith('DISK_FULL', second)
    await rejectsWith('DISK_FULL', third)
    expect(await texts(topic)).toEqual(['aaaaaaaa'])
    await nextTurn()
    await topic.append([text('again')])
    expect(await texts(topic)).toEqual(['aaaaaaaa', 'again'])
  })

  test('that is full leaves nothing of a refused append behind what comes later', async () => {
    const disk = await written(['aaaaaaaa'])
    const { bus, topic } = await open(disk)
    disk.limit(1_000)
    await rejectsWith('DISK_FULL', topic.append([text('refused1'), text('refused2'), text('x'.repeat(5_000))]))
    await nextTurn()
    // As large as the first of them: behind it lies where the second one was.
    await topic.append([text('accepted')])
    await bus.close()
    const { topic: again, notes } = await open(disk)
    expect(await texts(again)).toEqual(['aaaaaaaa', 'accepted'])
    expect(notes).toEqual([])
  })

  test('that is full when a segment begins leaves nothing in the way', async () => {
    const disk = await written(['a'.repeat(4_000)], { segmentBytes: 4096 })
    const { topic } = await open(disk, { segmentBytes: 4096 })
    disk.limit(1)
    await rejectsWith('DISK_FULL', topic.append([text('b'.repeat(4_000))]))
    disk.limit(1e9)
    await nextTurn()
    await topic.append([text('c'.repeat(4_000))])
    expect((await texts(topic)).map(it => it[0])).toEqual(['a', 'c'])
  })

  test('whose sync fails is not asked again: the topic takes nothing more until it is opened', async () => {
    const disk = await written(['aaaaaaaa'])
    const { bus, topic } = await open(disk)
    disk.failSyncs(1)
    const waiting = texts(topic, false, (await topic.last())?.position)
    // Larger than a sector: a later write into the same one would take it along.
    const both = [topic.append([text('b'.repeat(3_000))]), topic.append([text('c')]), waiting]
    for (const it of both) await rejectsWith('BUS_WRITE', it, 'EIO')
    await rejectsWith('BUS_WRITE', topic.append([text('d')]))
    const again = await bus.openTopic('t', { keepBytes: 1e9 })
    const after = await again.append([text('e')])
    const seen = await texts(again)
    // Both were refused, and may be there.
    expect(seen).toEqual(['aaaaaaaa', 'b'.repeat(3_000), 'c', 'e'])
    // What was found at the opening is on the disk now, though the system believed so before.
    const { topic: later } = await open(disk.cut(() => 0.99))
    expect(await texts(later)).toEqual(seen)
    expect((await later.last())?.position).toBe(after)
  })

  test('a cursor that cannot be read is an error of its subscriber, and keeps everything', async () => {
    const disk = await written(['aaaaaaaa'], { segmentBytes: 4096 })
    const first = await open(disk, { segmentBytes: 4096 })
    await (await first.topic.subscribe('s', 'end')).close()
    await first.bus.close()
    const handle = await disk.files.open(`${folder}/places/s.subscriber`, 'r+')
    await handle.write(Buffer.from('7'), 0, 1, 0)
    const { topic } = await open(disk, { segmentBytes: 4096 }, 0)
    await rejectsWith('BUS_CURSOR_DAMAGED', topic.subscribe('s', 'end'), '"s"')
    for (let i = 0; i < 5; i++) await topic.append([text('x'.repeat(3_000))])
    expect((await texts(topic)).length).toBe(6)
    await topic.unsubscribe('s')
    expect((await segmentsOf(disk)).length).toBe(1)
  })
})

test('a log of many segments is opened by reading its last one only', async () => {
  const disk = await written(
    Array.from({ length: 600 }, (_, i) => `${i}`.padEnd(1_000, 'x')),
    { segmentBytes: 4096 },
  )
  expect((await segmentsOf(disk)).length).toBe(200)
  const opened: string[] = []
  const files = {
    ...disk.files,
    open: (file: string, flags: string) => (opened.push(file), disk.files.open(file, flags)),
  }
  const { topic } = await open({ ...disk, files: files as unknown as ForgetfulDisk['files'] }, { segmentBytes: 4096 })
  const last = (await segmentsOf(disk)).at(-1) as string
  const read = opened.filter(it => it.endsWith('.log'))
  expect(new Set(read)).toEqual(new Set([`${folder}/${last}`]))
  expect((await texts(topic, false, String(590).padStart(20, '0'))).length).toBe(9)
})

test('a topic that is removed gives none of its positions again, whatever was damaged of it', async () => {
  const all = Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(1_000, 'x'))
  for (const damage of ['nothing', 'the newest file', 'its places'] as const) {
    const disk = await written(all, { segmentBytes: 4096 })
    const newest = (await segmentsOf(disk)).at(-1) as string
    if (damage === 'the newest file') await truncate(disk, newest, 0)
    if (damage === 'its places') {
      const { bus, topic } = await open(disk)
      await (await topic.subscribe('s', 'start')).close()
      await bus.close()
      await truncate(disk, 'places/s.subscriber', 1)
    }
    const { bus, topic } = await open(disk)
    await topic.append([text('last')])
    for (let i = 0; i < 2; i++) {
      await bus.removeTopic('t')
      const made = await bus.openTopic('t', { keepBytes: 0 })
      expect(Number(await made.append([text('new')]))).toBeGreaterThan(40)
      expect(await texts(made)).toEqual(['new'])
      expect(await made.size()).toMatchObject({ messages: 1 })
    }
    await bus.close()
  }
})

test('names that could leave the folder or be another name there are refused', async () => {
  const { bus, topic } = await open(forgetfulDisk())
  for (const name of ['', '.', '..', '../x', 'a/b', 'a\\b', '.removed-x', 'a\0', 'x'.repeat(101), 'é', '-x', 'a b']) {
    await rejectsWith('BUS_NAME', bus.openTopic(name, { keepBytes: 0 }))
    await rejectsWith('BUS_NAME', bus.removeTopic(name))
    await rejectsWith('BUS_NAME', topic.subscribe(name, 'end'))
    await rejectsWith('BUS_NAME', topic.keep(name, null))
  }
})

test('a message over the limit is refused, and nothing of its append is written', async () => {
  const { topic } = await open(forgetfulDisk(), { maxMessageBytes: 1024 })
  await topic.append([{ key: 'k'.repeat(24), value: Buffer.alloc(1_000) }])
  const large = [text('a'), { key: 'k'.repeat(25), value: Buffer.alloc(1_000) }]
  await rejectsWith('BUS_TOO_LARGE', topic.append(large), '1025')
  expect((await topic.size()).messages).toBe(1)
})
