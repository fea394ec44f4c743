import { stopServer } from '../app/server/stop.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'

/** `naru stop`: asks the server of this project to end, and waits until it has. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const stopped = await stopServer(open, interruption())
  printResult(call, { ok: true, stopped: stopped !== null, ...stopped }, () => {
    if (stopped === null) return 'No server runs here.'
    const { process, inFlight } = stopped
    const taken = inFlight === null ? '' : ` Taken back, and done again by the next start: ${inFlight}`
    return `Stopped: process ${process}.${taken}`
  })
}
