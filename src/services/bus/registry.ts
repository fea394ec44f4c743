import { readOptions } from '../../core/implementation.ts'
import type { Bus, BusOpening } from './contract.ts'
import { log } from './local/index.ts'

/** Every bus, by kind: data only, so that naming one loads no driver. */
export const buses = { log }

export type BusKind = keyof typeof buses

/** Loads the implementation of `kind` and opens it. Options that are not given have their defaults. */
export async function openBus(kind: BusKind, given: BusOpening): Promise<Bus> {
  const options = readOptions(buses[kind].options, given.options, `bus "${kind}"`)
  const module = await buses[kind].open()
  return module.openBus({ ...given, options })
}
