// Runs of projects in a process that a test may lose. Each message asks for one: { config, clock, variables, point?, visit? };
// it is answered with what the run did and the crash points that it passed.
import { realEnv } from '../../dist/core/env.js'
import { openProject } from '../../dist/app/project.js'
import { runProject } from '../../dist/app/run-project.js'
import { crashingEnv, fixedClockEnv, recordingEnv } from '../../dist/testing/crash.js'

// What fails ends the process, as an unhandled rejection.
process.on('message', job => void run(job))

async function run({ config, clock, variables, point, visit }) {
  Object.assign(process.env, variables)
  const passed = []
  const fixed = fixedClockEnv(realEnv(), BigInt(clock))
  const env = point === undefined ? recordingEnv(fixed, passed) : crashingEnv(fixed, { point, visit })
  const open = await openProject(env, { config, cwd: process.cwd() })
  const { rowsRead, rowsStaged } = await runProject(open, {
    selectors: [],
    hashControls: false,
    emit: () => {},
    signal: new AbortController().signal,
  })
  process.send({ passed, rowsRead, rowsStaged })
}
