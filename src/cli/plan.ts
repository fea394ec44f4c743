import { makePlan } from '../app/plan.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'
import { table } from './format.ts'

/** `naru plan`: what a run would read and rebuild. */
export async function run(call: Call): Promise<void> {
  const open = await projectOf(call)
  const plan = await makePlan(open, interruption())
  printResult(call, { ok: true, ...plan }, () =>
    [
      'Reads',
      table(
        ['table', 'what', 'does not see'],
        plan.reads.map(it => [it.table, it.how, it.unseen.join(', ')]),
      ),
      '',
      'Datasets',
      table(
        ['dataset', 'state'],
        plan.datasets.map(it => [it.dataset, it.state]),
      ),
    ].join('\n'),
  )
}
