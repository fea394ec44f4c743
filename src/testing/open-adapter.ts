import os from 'node:os'
import { realEnv } from '../core/env.ts'
import { readOptions, type GivenOptions, type Implementation, type OptionTable } from '../core/implementation.ts'
import { Secret } from '../core/secret.ts'
import type { Adapter, OpenAdapter } from '../services/adapter/contract.ts'

/** Opens an adapter as `app` would, with options of a config; `secrets` are their values by the name of the variable. */
export async function openForTest<T extends OptionTable>(
  adapter: Implementation<T, { readonly openAdapter: OpenAdapter }>,
  options: GivenOptions<T>,
  secrets: Readonly<Record<string, string>> = {},
): Promise<Adapter> {
  const { openAdapter } = await adapter.open()
  return openAdapter({
    source: 'test',
    options: readOptions(adapter.options, options, 'source "test"'),
    secret: ref => new Secret(secrets[ref.name] ?? ''),
    configDir: process.cwd(),
    stateDir: os.tmpdir(),
    env: realEnv(),
  })
}
