import { fail } from '../../core/errors.ts'
import { tablesOf } from '../ask-source.ts'
import type { Given, TransferRequest } from './moving.ts'
import { transfer, type Transferred } from './transfer.ts'

/**
 * Moves every table and view of a system that the account may read, but for those that are named, one after the other
 * into tables of the same names. Each is a transfer of its own, with a moment of its own: one that fails ends the call,
 * those before it are done, and the same call again goes on where it broke in the one that failed.
 */
export async function* transferAll(
  given: Given,
  request: TransferRequest,
  except: readonly string[],
): AsyncGenerator<Transferred, void> {
  for (const [flag, address] of Object.entries({ from: request.from, to: request.to })) {
    if (!address.includes('#')) continue
    throw fail('TRANSFER_ADDRESS', { address, problem: `with --all the ${flag} end names no table` })
  }
  const found = await tablesOf({ ...given, address: request.from, configFile: request.configFile })
  const names = found.map(table => table.name)
  const unknown = except.find(name => !names.includes(name))
  if (unknown !== undefined) {
    throw fail('TRANSFER_TABLE', { address: request.from, table: unknown, known: names.join(', ') })
  }
  for (const name of names.filter(it => !except.includes(it))) {
    const [from, to] = [`${request.from}#${name}`, `${request.to}#${name}`]
    yield await transfer(given, { ...request, from, to })
  }
}
