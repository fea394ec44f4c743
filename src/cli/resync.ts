import { backfillRange } from '../app/backfill.ts'
import { resync } from '../app/resync.ts'
import type { Resynced, ResyncedTable } from '../app/resync/request.ts'
import type { Part } from '../app/stream/read-again.ts'
import type { Project } from '../config/model.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { exitStatus } from './exit-status.ts'
import { count } from './format.ts'
import { progress } from './progress.ts'

/** `naru resync`: reads tables of a stream again, and takes over what differs. */
export async function run(call: Call): Promise<number> {
  const open = await projectOf(call)
  const done = await resync(open, {
    selector: call.args[0] as string,
    ...partOf(open.project, call),
    rejected: call.has('rejected'),
    emit: progress(call.output, open.env.clock),
    signal: interruption(),
  })
  const isAside = done.setAside !== undefined && done.setAside.rows > 0
  printResult(call, { ok: !isAside, ...done }, () =>
    // What no stream told was a warning already, unless nobody wanted those.
    [
      ...done.tables.map(it => whatDiffered(it, done.setAside)),
      ...(call.output.quiet && done.gap !== null ? [done.gap] : []),
    ].join('\n'),
  )
  return isAside ? exitStatus.rejected : 0
}

function partOf(project: Project, call: Call): Part {
  const [from, to, by, where] = [call.flag('from'), call.flag('to'), call.flag('by'), call.flag('where')]
  const condition = where === undefined ? {} : { where }
  if (from === undefined && to === undefined && by === undefined) return condition
  return { ...condition, range: backfillRange(project, call.args, { from, to, by }) }
}

function whatDiffered(
  { table, inserted, updated, deleted, touched }: ResyncedTable,
  aside: Resynced['setAside'],
): string {
  if (touched === null) return `${table}: it was emptied at once while it was read, and follows its stream`
  const total = inserted + updated + deleted
  const parts = `${count(inserted)} missing, ${count(updated)} different, ${count(deleted)} gone in the source`
  const meanwhile = touched === 0 ? '' : `; ${count(touched)} keys changed meanwhile, as the stream has them`
  const isStill = aside !== undefined && aside.rows > 0
  const none = isStill ? 'nothing came' : 'nothing differed'
  return `${table}: ${total === 0 ? none : `${parts}: taken over`}${meanwhile}${asideText(aside)}`
}

/** Rows that are named. */
const namedMax = 5

function asideText(aside: Resynced['setAside']): string {
  if (aside === undefined) return ''
  const { rows, first, gone } = aside
  const named = first.slice(0, namedMax).map(({ key, reason }) => `${key ?? 'a row without a key'} ${reason}`)
  const more = rows > named.length ? ', …' : ''
  const left = `${count(rows)} ${rows === 1 ? 'row is' : 'rows are'} still set aside: ${named.join(', ')}${more}; see naru.reject`
  const went = `${count(gone)} ${gone === 1 ? 'is' : 'are'} not in the source any more, and no longer set aside`
  return [...(rows === 0 ? [] : [left]), ...(gone === 0 ? [] : [went])].map(text => `; ${text}`).join('')
}
