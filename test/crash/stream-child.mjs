// A project with a stream in a process that a test may lose: node stream-child.mjs CONFIG run|steps|live|SELECTOR CLOCK_MICROS [POINT VISIT].
// `steps` is a run that takes as little at once as it can. A selector is what `naru resync` reads again. `live` ends by itself once every table is at the end of the story. Prints the crash points it passed as one JSON line.
import { realEnv } from '../../dist/core/env.js'
import { openEngine, openProject } from '../../dist/app/project.js'
import { resync } from '../../dist/app/resync.js'
import { runProject } from '../../dist/app/run-project.js'
import { runLive } from '../../dist/app/live.js'
import { crashingEnv, fixedClockEnv, recordingEnv } from '../../dist/testing/crash.js'

const [config, mode, clock, end, point, visit] = process.argv.slice(2)
const passed = []
const fixed = fixedClockEnv(realEnv(), BigInt(clock))
const env = point === undefined ? recordingEnv(fixed, passed) : crashingEnv(fixed, { point, visit: Number(visit ?? 1) })
const open = await openProject(env, { config, cwd: process.cwd() })
const emit = () => {}
if (mode === 'run' || mode === 'steps') {
  const { signal } = new AbortController()
  const steps = mode === 'steps' ? { stepBytes: 1 } : {}
  await runProject(open, { selectors: [], hashControls: false, emit, signal, ...steps })
} else if (mode !== 'live') {
  await resync(open, { selector: mode, emit, signal: new AbortController().signal })
} else {
  const engine = await openEngine(open, 'write')
  const ending = new AbortController()
  const onStatus = ({ tables }) => {
    if (tables.length > 0 && tables.every(table => table.state === 'live' && table.position >= end)) ending.abort()
  }
  await runLive(open, engine, { emit, signal: ending.signal, onStatus, lingerMs: 1 })
  await engine.close()
}
console.log(JSON.stringify({ passed }))
