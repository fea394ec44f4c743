import { stopServer } from '../app/server/stop.ts'
import type { Call } from './command.ts'
import { interruption, placeOf, printResult, projectOf } from './context.ts'

/** `naru stop`: asks the server of this project to end, and waits until it has. A configuration that does not load keeps nobody from it. */
export async function run(call: Call): Promise<void> {
  const place = placeOf(call)
  const stopped = await stopServer(place, interruption())
  // Where there is no configuration at all, it is another folder that is meant.
  if (stopped === null) await place.env.files.access(place.configFile).catch(() => projectOf(call))
  printResult(call, { ok: true, stopped: stopped !== null, ...stopped }, () => {
    if (stopped === null) return 'No server runs here.'
    const { process, inFlight } = stopped
    const taken = inFlight === null ? '' : ` Taken back, and done again by the next start: ${inFlight}`
    return `Stopped: process ${process}.${taken}`
  })
}
