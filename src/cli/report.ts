import path from 'node:path'
import { reading } from '../app/read.ts'
import { buildReport, writeReport } from '../report/index.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'

/** `naru report`: the quality report of the last run that ended, as a page to open and as data. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const report = await reading(open, interruption(), tx => buildReport(tx, open.project))
  const asked = call.flag('out')
  const folder = asked === undefined ? path.join(open.stateDir, 'report') : path.resolve(asked)
  const paths = await writeReport(open.env, folder, report)
  const shown = path.relative(process.cwd(), paths.html)
  printResult(call, { ok: true, report: paths.html, json: paths.json }, () => `Quality report: ${shown}`)
}
