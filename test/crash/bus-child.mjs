// Appends to a topic until it is killed: node bus-child.mjs FOLDER [POINT VISIT].
// Prints a line for each answered append: its last id and position. Ids go on from what the topic has.
import { openBus } from '../../dist/services/bus/registry.js'
import { realEnv } from '../../dist/core/env.js'
import { crashingEnv } from '../../dist/testing/crash.js'

const [stateDir, point, visit] = process.argv.slice(2)
const env = point === undefined ? realEnv() : crashingEnv(realEnv(), { point, visit: Number(visit) })
const bus = await openBus('log', { options: { segmentBytes: 65_536 }, stateDir, env, tell: () => {} })
const topic = await bus.openTopic('t', { keepBytes: 200_000 })
const newest = await topic.last()
let id = newest === null ? 0 : Number(newest.key) + 1
await topic.keep('reader', newest?.position ?? 'start')
console.log(JSON.stringify({ began: id }))
for (let round = 0; round < 400; round += 1) {
  const appends = Array.from({ length: 4 }, async () => {
    const messages = Array.from({ length: 3 }, () => ({ key: String(id), value: Buffer.alloc(1_000, id++ & 255) }))
    const position = await topic.append(messages)
    console.log(JSON.stringify({ id: Number(messages.at(-1).key), position }))
    return position
  })
  const positions = await Promise.all(appends)
  if (round % 10 === 9) await topic.keep('reader', positions[0])
}
await bus.removeTopic('t')
await bus.close()
