import { checkedName, checkedOptions, deepFreeze } from './handle.ts'
import { mistake } from './mistake.ts'
import type { TransferDef, TransferOptions } from './model.ts'

const known: readonly (keyof TransferOptions)[] = [
  'from',
  'to',
  'query',
  'where',
  'columns',
  'mode',
  'key',
  'splitBy',
  'chunkRows',
  'incremental',
  'parallel',
  'validate',
  'missed',
  'create',
  'delimiter',
  'quote',
  'escape',
  'nullText',
  'header',
  'compression',
]

/** The transfers of a configuration, by name. What they say is checked when one is run, as the command line is. */
export function transferDefs(given: Readonly<Record<string, TransferOptions>>): readonly TransferDef[] {
  return Object.entries(given).map(([name, options]) => {
    checkedName('transfer', name)
    checkedOptions(`transfers.${name}`, options, known)
    for (const end of ['from', 'to'] as const) assertAddress(name, end, options[end])
    return deepFreeze({ name, ...options })
  })
}

function assertAddress(name: string, end: 'from' | 'to', address: unknown): void {
  if (typeof address !== 'string' || address === '') throw mistake(`transfers.${name}: ${end} is missing`)
  if (!/^\s*[a-z][a-z0-9+.-]*:\/\//i.test(address)) return
  // Nothing of the address is said: a password may stand in it.
  throw mistake(
    `transfers.${name}: ${end} is an address that may hold a password; write 'env:VARIABLE' and put it there`,
  )
}
