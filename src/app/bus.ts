import type { Emit } from '../core/events.ts'
import type { Bus, Topic, TopicMessage } from '../services/bus/contract.ts'
import type { OpenProject } from './project.ts'

const all = new Map<string, Map<string, TopicMessage[]>>()

/** TEMPORARY stand-in until the local bus is there. */
export async function openProjectBus(open: Pick<OpenProject, 'stateDir' | 'env'>, _emit: Emit): Promise<Bus> {
  const topics = all.get(open.stateDir) ?? new Map<string, TopicMessage[]>()
  all.set(open.stateDir, topics)
  const wake = new Set<() => void>()
  const topicOf = (name: string): Topic => {
    const log = topics.get(name) ?? []
    topics.set(name, log)
    return {
      name,
      append: async messages => {
        for (const message of messages) log.push({ ...message, position: String(log.length).padStart(9, '0'), appendedMicros: 0n })
        for (const it of wake) it()
        return (log.at(-1) as TopicMessage).position
      },
      last: async () => log.at(-1) ?? null,
      async *read(after, { signal }) {
        let next = after === null ? 0 : Number(after) + 1
        while (!signal.aborted) {
          if (next < log.length) yield [log[next++] as TopicMessage]
          else await new Promise<void>(resolve => {
            wake.add(resolve)
            signal.addEventListener('abort', () => resolve())
          })
        }
      },
      compare: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
      keep: async () => {},
      subscribe: () => Promise.reject(new Error('no')),
      size: async () => ({ bytes: 0, messages: log.length }),
    }
  }
  return {
    kind: 'memory',
    openTopic: async name => topicOf(name),
    topics: async () => [...topics.keys()],
    removeTopic: async name => void topics.delete(name),
    close: async () => {},
  }
}
