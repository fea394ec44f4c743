import type { SourceDef } from '../../config/model.ts'
import type { CaptureProblem, CaptureTechnique } from '../../services/adapter/contract-capture.ts'
import type { Adapter } from '../../services/adapter/contract.ts'
import { readOwner } from '../stream/installed.ts'
import { capturedTable, streamsOf } from '../stream/streams.ts'

/** What a source lacks for one of its streams, or that it has no such streams. */
export interface StreamProblem extends CaptureProblem {
  readonly technique: CaptureTechnique
}

/** Asks the source what its streams lack: nothing is installed and nothing is read of its tables. */
export async function streamProblems(
  adapter: Adapter,
  source: SourceDef,
  at: Parameters<typeof readOwner>[0],
  signal: AbortSignal,
): Promise<readonly StreamProblem[]> {
  const problems: StreamProblem[] = []
  const owner = (await readOwner(at, source.name)) ?? 'nobody yet'
  for (const { technique, tables } of streamsOf([source])) {
    const captures = adapter.captures?.[technique]
    if (captures === undefined) {
      const text = `"${adapter.kind}" has no changes by the technique ${technique}`
      problems.push({ technique, table: null, text, fix: 'Choose another technique for its tables.', isFatal: true })
      continue
    }
    const found = await captures.inspect(
      tables.map(table => ({ ...capturedTable(table), owner })),
      signal,
    )
    problems.push(...found.map(problem => ({ ...problem, technique })))
  }
  return problems
}
