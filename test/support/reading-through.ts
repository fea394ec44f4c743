import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import type { Adapter, ReadsTables, Snapshot } from '../../src/services/adapter/contract.ts'

/** The adapter as it is, but its snapshots have some other methods: faults, and counters of what is asked. */
export function readingThrough(
  kind: 'postgres' | 'sqlite',
  change: (snapshot: Snapshot) => Partial<Snapshot>,
  beforeOpen: () => void = () => {},
): AdapterImplementation {
  const real = adapters[kind] as AdapterImplementation
  const snapshotOf = (snapshot: Snapshot): Snapshot => ({
    takenAtMicros: snapshot.takenAtMicros,
    horizonMicros: snapshot.horizonMicros,
    look: remote => snapshot.look(remote),
    boundary: (table, after, rows) => snapshot.boundary(table, after, rows),
    read: (table, columns, filter, signal) => snapshot.read(table, columns, filter, signal),
    totals: (table, filter, options, signal) => snapshot.totals(table, filter, options, signal),
    close: () => snapshot.close(),
    ...change(snapshot),
  })
  const tablesOf = (tables: ReadsTables): ReadsTables => ({
    ...tables,
    openSnapshot: async signal => {
      beforeOpen()
      return snapshotOf(await tables.openSnapshot(signal))
    },
  })
  const adapterOf = (adapter: Adapter): Adapter => ({
    kind: adapter.kind,
    tables: tablesOf(adapter.tables as ReadsTables),
    close: () => adapter.close(),
  })
  return {
    ...real,
    open: async () => {
      const { openAdapter } = await real.open()
      return { openAdapter: async given => adapterOf(await openAdapter(given)) }
    },
  }
}
