import type { SourceDef } from '../config/model.ts'
import type { CaptureProblem, CaptureTechnique } from '../services/adapter/contract-capture.ts'
import type { Adapter } from '../services/adapter/contract.ts'
import { capturedTable } from './stream/streams.ts'

/** What a source lacks for one of its streams, or that it has no such streams. */
export interface StreamProblem extends CaptureProblem {
  readonly technique: CaptureTechnique
}

const techniques: readonly CaptureTechnique[] = ['log', 'trigger', 'event', 'status']

/** Asks the source what its streams lack: nothing is installed and nothing is read of its tables. */
export async function streamProblems(
  adapter: Adapter,
  source: SourceDef,
  signal: AbortSignal,
): Promise<readonly StreamProblem[]> {
  const problems: StreamProblem[] = []
  for (const technique of techniques) {
    const tables = source.tables.filter(table => table.change.technique === technique)
    if (tables.length === 0) continue
    const captures = adapter.captures?.[technique]
    if (captures === undefined) {
      const text = `"${adapter.kind}" has no changes by the technique ${technique}`
      problems.push({ technique, table: null, text, fix: 'Choose another technique for its tables.', isFatal: true })
      continue
    }
    const found = await captures.inspect(tables.map(capturedTable), signal)
    problems.push(...found.map(problem => ({ ...problem, technique })))
  }
  return problems
}
