import type { SourceDef } from '../../config/model.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { openSource } from '../extract.ts'
import type { AdapterImplementation } from '../registry.ts'
import type { AdvicePlace } from './advise.ts'

/** The name that a source has in trials: nothing that a trial makes there is what the project's own streams hold. */
export function trialName(source: string): string {
  return `${source}_trial`
}

/** Opens the source under that name, without the options that name objects of the project. */
export async function openTrialSource(
  place: AdvicePlace,
  source: SourceDef,
  adapters?: Readonly<Record<string, AdapterImplementation>>,
): Promise<{ readonly named: SourceDef; readonly adapter: Adapter }> {
  const own = await openSource(place, source, adapters)
  const owned = own.advises?.ownedOptions ?? []
  await own.close()
  const options = Object.fromEntries(Object.entries(source.options).filter(([name]) => !owned.includes(name)))
  const named = { ...source, name: trialName(source.name), options }
  return { named, adapter: await openSource(place, named, adapters) }
}
