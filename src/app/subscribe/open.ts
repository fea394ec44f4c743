import type { Emit } from '../../core/events.ts'
import { openProjectBus } from '../bus.ts'
import type { OpenProject } from '../project.ts'
import { askServer, type Asking } from '../server/ask.ts'
import type { Message } from '../server/wire.ts'
import type { FedSet, Feed } from './feed.ts'
import { Feeds, type SubscriberStatus } from './feeds.ts'
import type { SeenChange } from './rows.ts'

/** What is asked about the subscribers of a project. */
export interface Subscribers {
  list(): Promise<readonly SubscriberStatus[]>
  acknowledge(name: string, position: string): Promise<void>
  release(name: string, afterMs: number): Promise<void>
  /** False when there was no place. */
  remove(name: string): Promise<boolean>
}

/** The changes of a subscriber, and who else is there. */
export interface OpenedFeed extends Feed {
  /** Nobody writes the durable log while this process has it open: what is there is all. */
  readonly isAtRest: boolean
}

/**
 * The changes of a subscriber: from the server of the project, or from its durable log while no server runs. Throws
 * `SUBSCRIBER_UNKNOWN`, `BUS_HELD` while another has them, `SERVER_CONFIG`.
 */
export async function openFeed(
  open: OpenProject,
  { name, from }: { readonly name: string; readonly from: 'start' | 'end' },
  signal: AbortSignal,
): Promise<OpenedFeed> {
  const asking = await askServer(open, { ask: 'feed', name, from }, signal)
  if (asking !== null) return remoteFeed(asking)
  const bus = await openProjectBus(open, noted(open))
  try {
    const feed = await new Feeds(open, bus).feed(name, from)
    const close = async (): Promise<void> => {
      await feed.close()
      await bus.close()
    }
    return {
      isAtRest: true,
      next: (waitMs, until) => feed.next(waitMs, until),
      page: () => feed.page(),
      acknowledge: position => feed.acknowledge(position),
      release: afterMs => feed.release(afterMs),
      close,
    }
  } catch (error) {
    await bus.close()
    throw error
  }
}

/** Asks about subscribers: the server, or the durable log while none runs. */
export function subscribersOf(open: OpenProject, signal: AbortSignal): Subscribers {
  const asked = async <T>(request: Message, otherwise: (feeds: Feeds) => Promise<T>): Promise<T> => {
    const asking = await askServer(open, { ask: 'subscribers', ...request }, signal)
    if (asking !== null) {
      try {
        return (await asking.next())['result'] as T
      } finally {
        asking.close()
      }
    }
    const bus = await openProjectBus(open, noted(open))
    try {
      return await otherwise(new Feeds(open, bus))
    } finally {
      await bus.close()
    }
  }
  return {
    list: () => asked({ what: 'list' }, feeds => feeds.list()),
    acknowledge: (name, position) =>
      asked({ what: 'acknowledge', name, position }, feeds => feeds.acknowledge(name, position)),
    release: (name, afterMs) => asked({ what: 'release', name, afterMs }, feeds => feeds.release(name, afterMs)),
    remove: name => asked({ what: 'remove', name }, feeds => feeds.remove(name)),
  }
}

/** A feed of the server, question by question. */
async function remoteFeed(asking: Asking): Promise<OpenedFeed> {
  const answerTo = async (question: Message): Promise<Message> => {
    await asking.send(question)
    return asking.next()
  }
  try {
    await asking.next() // it is ready, or says why not
  } catch (error) {
    asking.close()
    throw error
  }
  return {
    isAtRest: false,
    next: async waitMs => (await answerTo({ next: waitMs }))['set'] as FedSet | null,
    page: async () => (await answerTo({ page: true }))['page'] as readonly SeenChange[] | null,
    acknowledge: async position => void (await answerTo({ acknowledge: position })),
    release: async afterMs => void (await answerTo({ release: afterMs })),
    close: async () => asking.close(),
  }
}

function noted(open: OpenProject): Emit {
  return event => {
    if (event.kind === 'note') open.notice?.(event.text)
  }
}
