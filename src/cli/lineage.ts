import { columnsNamed, followLineage, lineageEdges, type LineageTree } from '../plan/lineage.ts'
import type { Call } from './command.ts'
import { printResult, projectOf } from './context.ts'

/** `naru lineage`: read from the config alone, so it needs no database. */
export async function run(call: Call): Promise<void> {
  const { project } = await projectOf(call)
  const edges = lineageEdges(project)
  const [name] = call.args
  if (name === undefined) return printResult(call, { ok: true, edges }, () => tablesText(edges))
  const trees = columnsNamed(edges, name).map(column => ({
    column,
    back: followLineage(edges, column, 'back'),
    forward: followLineage(edges, column, 'forward'),
  }))
  printResult(call, { ok: true, columns: trees }, () =>
    trees
      .map(({ column, back, forward }) =>
        [column, ...branch('comes from', back), ...branch('goes to', forward)].join('\n'),
      )
      .join('\n\n'),
  )
}

function branch(title: string, tree: LineageTree): readonly string[] {
  if (tree.next.length === 0) return []
  return [`  ${title}`, ...tree.next.flatMap(next => lines(next, 2))]
}

function lines(tree: LineageTree, depth: number): readonly string[] {
  const own = `${'  '.repeat(depth)}${tree.name}${tree.how === null ? '' : `  (${tree.how})`}`
  return [own, ...tree.next.flatMap(next => lines(next, depth + 1))]
}

function tablesText(edges: ReturnType<typeof lineageEdges>): string {
  const tableOf = (column: string): string => column.slice(0, column.lastIndexOf('.'))
  const pairs = new Set(
    edges.filter(e => tableOf(e.from) !== tableOf(e.to)).map(e => `${tableOf(e.from)} → ${tableOf(e.to)}`),
  )
  return [...pairs].join('\n')
}
