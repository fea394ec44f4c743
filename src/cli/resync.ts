import { backfillRange } from '../app/backfill.ts'
import { resync, type ResyncedTable } from '../app/resync.ts'
import type { Part } from '../app/stream/read-again.ts'
import type { Project } from '../config/model.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { count } from './format.ts'
import { progress } from './progress.ts'

/** `naru resync`: reads tables of a stream again, and takes over what differs. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const done = await resync(open, {
    selector: call.args[0] as string,
    ...partOf(open.project, call),
    emit: progress(call.output, open.env.clock),
    signal: interruption(),
  })
  printResult(call, { ok: true, ...done }, () =>
    [...done.tables.map(whatDiffered), ...(done.gap === null ? [] : [done.gap])].join('\n'),
  )
}

function partOf(project: Project, call: Call): Part {
  const [from, to, by, where] = [call.flag('from'), call.flag('to'), call.flag('by'), call.flag('where')]
  const condition = where === undefined ? {} : { where }
  if (from === undefined && to === undefined && by === undefined) return condition
  return { ...condition, range: backfillRange(project, call.args, { from, to, by }) }
}

function whatDiffered({ table, inserted, updated, deleted, touched }: ResyncedTable): string {
  if (touched === null) return `${table}: it was emptied at once while it was read, and follows its stream`
  const total = inserted + updated + deleted
  const parts = `${count(inserted)} missing, ${count(updated)} different, ${count(deleted)} gone in the source`
  const meanwhile = touched === 0 ? '' : `; ${count(touched)} keys changed meanwhile, as the stream has them`
  return `${table}: ${total === 0 ? 'nothing differed' : `${parts}: taken over`}${meanwhile}`
}
