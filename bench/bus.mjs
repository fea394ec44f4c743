// npm run bench -- bus [--seconds 1] [--rounds 3] [--folder DIR]: the embedded log against what its disk can do.
// Appends: messages of three sizes by 1, 16 and 256 appenders at once, against a plain write and fdatasync of the
// bytes of one such group after the other. Reads: a topic against its files. Tail: from the call of an append until a
// reader in the same process has the message, against the call until its answer. Interleaved, medians of the rounds.
import { mkdtempSync, rmSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { realEnv } from '../dist/core/env.js'
import { openBus } from '../dist/services/bus/registry.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    folder: { type: 'string', default: os.tmpdir() },
  },
})
const ms = Number(values.seconds) * 1000
const rounds = Number(values.rounds)
const stateDir = mkdtempSync(path.join(values.folder, 'naru-bench-bus-'))
const bus = await openBus('log', { options: {}, stateDir, env: realEnv(), tell: note => console.log(note.text) })

try {
  console.log('size      appenders   appends/s       MB/s   of the plain write')
  for (const size of [100, 1_000, 65_536]) {
    for (const appenders of [1, 16, 256]) await benchAppends(size, appenders)
  }
  for (const size of [100, 1_000, 65_536, 4 * 1024 * 1024]) await benchRead(size)
  for (const size of [10_000, 4 * 1024 * 1024]) await benchTail(size)
} finally {
  await bus.close()
  rmSync(stateDir, { recursive: true, force: true })
}

async function benchAppends(size, appenders) {
  const own = []
  const plain = []
  for (let round = 0; round < rounds; round += 1) {
    own.push(await appendsPerSecond(size, appenders))
    plain.push(await writesPerSecond(size, appenders))
  }
  const [rate, limit] = [median(own), median(plain)]
  console.log(
    `${pad(size, 6)} B ${pad(appenders, 11)} ${pad(rate.toFixed(0), 11)} ${pad(((rate * size) / 1e6).toFixed(1), 10)}   ${(rate / limit).toFixed(2)}`,
  )
}

async function appendsPerSecond(size, appenders) {
  const topic = await bus.openTopic('bench', { keepBytes: 1e9 })
  const message = { key: null, value: new Uint8Array(size).fill(7) }
  const until = performance.now() + ms
  let appends = 0
  const began = performance.now()
  await Promise.all(
    Array.from({ length: appenders }, async () => {
      while (performance.now() < until) {
        await topic.append([message])
        appends += 1
      }
    }),
  )
  const seconds = (performance.now() - began) / 1000
  await bus.removeTopic('bench')
  return appends / seconds
}

async function writesPerSecond(size, appenders) {
  const file = path.join(stateDir, 'plain')
  const handle = await open(file, 'w')
  const bytes = Buffer.alloc(size * appenders, 7)
  const began = performance.now()
  let at = 0
  while (performance.now() < began + ms) {
    await handle.write(bytes, 0, bytes.length, at)
    await handle.datasync()
    at += bytes.length
  }
  const seconds = (performance.now() - began) / 1000
  await handle.close()
  rmSync(file)
  return at / size / seconds
}

async function benchRead(size) {
  const topic = await bus.openTopic('bench', { keepBytes: 1e9 })
  const count = Math.min(Math.ceil(200e6 / size), 400_000)
  const message = { key: null, value: new Uint8Array(size).fill(7) }
  for (let left = count; left > 0; left -= 10_000) {
    await topic.append(Array.from({ length: Math.min(left, 10_000) }, () => message))
  }
  const own = []
  const plain = []
  for (let round = 0; round < rounds; round += 1) {
    own.push(await readMs(topic))
    plain.push(await fileMs())
  }
  const megabytes = (count * size) / 1e6
  console.log(
    `read ${size} B: ${((megabytes / median(own)) * 1000).toFixed(0)} MB/s, ${(median(own) / median(plain)).toFixed(1)} times the time to read its files`,
  )
  await bus.removeTopic('bench')
}

async function readMs(topic) {
  const newest = (await topic.last()).position
  const stop = new AbortController()
  const began = performance.now()
  for await (const messages of topic.read(null, { bytes: 1024 * 1024, signal: stop.signal })) {
    if (messages.at(-1).position === newest) stop.abort()
  }
  return performance.now() - began
}

async function fileMs() {
  const folder = path.join(stateDir, 'bus', 'bench')
  const began = performance.now()
  for (const name of (await readdir(folder)).filter(it => it.endsWith('.log'))) {
    const handle = await open(path.join(folder, name))
    for (let at = 0; ;) {
      const { bytesRead } = await handle.read(Buffer.allocUnsafeSlow(1024 * 1024), 0, 1024 * 1024, at)
      if (bytesRead === 0) break
      at += bytesRead
    }
    await handle.close()
  }
  return performance.now() - began
}

async function benchTail(size) {
  const topic = await bus.openTopic('bench', { keepBytes: 1e9 })
  await topic.append([{ key: null, value: new Uint8Array(8) }])
  const stop = new AbortController()
  const reading = topic.read((await topic.last()).position, { bytes: 4 * 1024 * 1024, signal: stop.signal })
  const [answered, seen] = [[], []]
  const message = { key: null, value: new Uint8Array(size).fill(7) }
  const iterator = reading[Symbol.asyncIterator]()
  for (let i = 0; i < 20 * rounds; i += 1) {
    const next = iterator.next().then(() => performance.now())
    const began = performance.now()
    const done = topic.append([message]).then(() => performance.now())
    seen.push((await next) - began)
    answered.push((await done) - began)
  }
  stop.abort()
  await iterator.return()
  console.log(
    `tail ${size} B: seen after ${median(seen).toFixed(2)} ms, answered after ${median(answered).toFixed(2)} ms (medians of ${seen.length})`,
  )
  await bus.removeTopic('bench')
}

function median(list) {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]
}

function pad(value, width) {
  return String(value).padStart(width)
}
