import { checkProject } from '../app/check.ts'
import { buildGraph } from '../plan/graph.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'

/** `naru check`: exit status 1 when anything would stop a run. */
export async function run(call: Call): Promise<number> {
  const open = await projectOf(call)
  const graph = buildGraph(open.project)
  const problems = call.has('offline') ? [] : await checkProject(open, interruption())
  const ok = problems.every(problem => problem.level !== 'error')
  const { sources, entities, exports, facts } = open.project
  printResult(call, { ok, problems, tasks: graph.nodes.length }, () =>
    [
      ...problems.map(
        ({ where, level, message, fix, code }) => `${level}: ${where}: ${message}\n  ${fix}\n  [${code}]`,
      ),
      `${sources.length} sources, ${entities.length} entities, ${exports.length} exports, ${facts.length} facts: ` +
        (ok ? 'ready to run.' : 'not ready.'),
    ].join('\n'),
  )
  return ok ? 0 : 1
}
