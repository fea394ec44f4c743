import { checkProject } from '../app/check/check.ts'
import { leastPrivileges } from '../app/check/privileges.ts'
import type { OpenProject } from '../app/project.ts'
import { buildGraph } from '../plan/graph.ts'
import type { Call } from './command.ts'
import { interruption, printResult, projectOf } from './context.ts'

/** `naru check`: ends with 0, 1 or 2. A mistake of the project is found before any source is asked, so it counts first. */
export async function run(call: Call): Promise<number> {
  const open = await projectOf(call)
  if (call.has('privileges')) return printPrivileges(call, open)
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
  if (ok) return 0
  return problems.some(problem => problem.exit === 2) ? 2 : 1
}

/** `naru check --privileges`: statements that may be given to an administrator, or piped to the client of the source. */
async function printPrivileges(call: Call, open: OpenProject): Promise<number> {
  const privileges = await leastPrivileges(open)
  printResult(call, { ok: true, privileges }, () =>
    privileges.length === 0
      ? 'No source has privileges that are granted by SQL.'
      : privileges
          .map(({ source, technique, tables, statements }) =>
            [`-- source ${source}, technique ${technique}: ${tables.join(', ')}`, ...statements].join('\n'),
          )
          .join('\n\n'),
  )
  return 0
}
