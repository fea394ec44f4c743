import type { Engine } from '../services/engine/contract.ts'
import { openEngine } from '../services/engine/postgres/open.ts'
import { openTestEngine, withSchemas } from './engine.ts'
import { startEngineServer } from './postgres/engine.ts'

/** What the tests of stages run on, for `describe.each`: opened once for a file, because a server starts in seconds. */
export const stageEngines: readonly { readonly kind: string; readonly open: () => Promise<Engine> }[] = [
  { kind: 'duckdb', open: openTestEngine },
  { kind: 'postgres', open: openOnServer },
]

/** An engine on a server of its own, which ends with it. */
async function openOnServer(): Promise<Engine> {
  const server = await startEngineServer()
  const engine = await withSchemas(await openEngine(server.opening(await server.database())))
  const close = async (): Promise<void> => {
    await engine.close()
    await server.stop()
  }
  return { ...engine, close }
}
