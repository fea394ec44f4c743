// Projects with a stream in a process that a test may lose. Each message asks for one thing: { config, mode, clock, end, point?, visit? };
// it is answered with the crash points that were passed. Modes: `run`, `steps`, a run that takes as little at once as it
// can, `live`, which ends by itself once every table is at the position `end`, or a selector, what `naru resync` reads again.
import { realEnv } from '../../dist/core/env.js'
import { openEngine, openProject } from '../../dist/app/project.js'
import { resync } from '../../dist/app/resync.js'
import { runProject } from '../../dist/app/run-project.js'
import { runLive } from '../../dist/app/live/run-live.js'
import { crashingEnv, fixedClockEnv, recordingEnv } from '../../dist/testing/crash.js'

const emit = () => {}

// What fails ends the process, as an unhandled rejection.
process.on('message', job => void work(job))

async function work({ config, mode, clock, end, point, visit }) {
  const passed = []
  const fixed = fixedClockEnv(realEnv(), BigInt(clock))
  const env = point === undefined ? recordingEnv(fixed, passed) : crashingEnv(fixed, { point, visit })
  const open = await openProject(env, { config, cwd: process.cwd() })
  const { signal } = new AbortController()
  if (mode === 'run') await runProject(open, { selectors: [], hashControls: false, emit, signal })
  else if (mode === 'steps') await runProject(open, { selectors: [], hashControls: false, emit, signal, stepBytes: 1 })
  else if (mode === 'live') await follow(open, end)
  else await resync(open, { selector: mode, emit, signal })
  process.send({ passed })
}

async function follow(open, end) {
  const engine = await openEngine(open, 'write')
  const ending = new AbortController()
  const onStatus = ({ tables }) => {
    if (tables.length > 0 && tables.every(table => table.state === 'live' && table.position >= end)) ending.abort()
  }
  await runLive(open, engine, { emit, signal: ending.signal, onStatus, lingerMs: 1 })
  await engine.close()
}
