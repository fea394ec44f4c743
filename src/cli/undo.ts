import { undoLoad } from '../app/undo.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { count } from './format.ts'
import { progress } from './progress.ts'

/** `naru undo`: takes a published load back, with everything that was made of it. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const undone = await undoLoad(open, {
    load: call.args[0] as string,
    cascade: call.has('cascade'),
    keepPosition: call.has('keep-position'),
    emit: progress(call.output, open.env.clock),
    signal: interruption(),
  })
  printResult(call, { ok: true, ...undone }, () => {
    const loads = undone.loads.map(it => `load ${it.load} of ${it.table}: ${whatIsBack(it.rows)}`)
    const next = undone.keptPosition ? 'Its range is not read again.' : 'The next run reads its range again.'
    return [...loads, next].join('\n')
  })
}

function whatIsBack(rows: number): string {
  return rows === 0 ? 'it changed no row, so none was taken back' : `${count(rows)} rows are what they were`
}
