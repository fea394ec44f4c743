import type { Adapter, OpenAdapter, ReadsTables, Snapshot } from '../../src/services/adapter/contract.ts'

/** An object with other members in place of some of its own. What its contract leaves open stays there as well. */
export function instead<T extends object>(of: T, members: Partial<T>): T {
  const get = (it: T, name: string | symbol): unknown => {
    const own: unknown = Reflect.get(Object.hasOwn(members, name) ? members : it, name)
    return typeof own === 'function' ? own.bind(it) : own
  }
  return new Proxy(of, { get })
}

/** What is left to import of an adapter that behaves in another way. */
export function opening(
  real: { open(): Promise<{ readonly openAdapter: OpenAdapter }> } | undefined,
  change: (adapter: Adapter) => Adapter,
): () => Promise<{ readonly openAdapter: OpenAdapter }> {
  return async () => {
    const { openAdapter } = (await real?.open()) ?? {}
    if (openAdapter === undefined) throw new Error('there is no such adapter')
    return { openAdapter: async given => change(await openAdapter(given)) }
  }
}

/** The adapter, but its snapshots behave in another way; `before` is called ahead of each. */
export function withSnapshots(
  adapter: Adapter,
  change: (snapshot: Snapshot) => Partial<Snapshot>,
  before: () => void = () => {},
): Adapter {
  const tables = adapter.tables as ReadsTables
  const openSnapshot: ReadsTables['openSnapshot'] = async signal => {
    before()
    const snapshot = await tables.openSnapshot(signal)
    return instead(snapshot, change(snapshot))
  }
  return instead(adapter, { tables: instead(tables, { openSnapshot }) })
}
