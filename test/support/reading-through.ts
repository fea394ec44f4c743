import { adapters, type AdapterImplementation } from '../../src/app/registry.ts'
import type { Snapshot } from '../../src/services/adapter/contract.ts'
import { opening, withSnapshots } from './instead.ts'

/** The adapter as it is, but its snapshots have some other methods: faults, and counters of what is asked. */
export function readingThrough(
  kind: 'postgres' | 'sqlite',
  change: (snapshot: Snapshot) => Partial<Snapshot>,
  beforeOpen?: () => void,
): AdapterImplementation {
  const real = adapters[kind] as AdapterImplementation
  return { ...real, open: opening(real, adapter => withSnapshots(adapter, change, beforeOpen)) }
}
