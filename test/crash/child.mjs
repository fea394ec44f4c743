// One run of a project in a process that a test may lose: node child.mjs CONFIG CLOCK_MICROS [POINT VISIT].
// Prints the crash points it passed as one JSON line.
import { realEnv } from '../../dist/core/env.js'
import { openProject } from '../../dist/app/project.js'
import { runProject } from '../../dist/app/run-project.js'
import { crashingEnv, fixedClockEnv, recordingEnv } from '../../dist/testing/crash.js'

const [config, clock, point, visit] = process.argv.slice(2)
const passed = []
const fixed = fixedClockEnv(realEnv(), BigInt(clock))
const env = point === undefined ? recordingEnv(fixed, passed) : crashingEnv(fixed, { point, visit: Number(visit ?? 1) })
const open = await openProject(env, { config, cwd: process.cwd() })
const outcome = await runProject(open, {
  selectors: [],
  hashControls: false,
  emit: () => {},
  signal: new AbortController().signal,
})
console.log(JSON.stringify({ passed, rowsRead: outcome.rowsRead, rowsStaged: outcome.rowsStaged }))
