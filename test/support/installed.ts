import { checkProject } from '../../src/app/check/check.ts'
import { openSource } from '../../src/app/extract.ts'
import type { OpenProject } from '../../src/app/project.ts'
import { rememberStream } from '../../src/app/stream/installed.ts'
import { capturedTable, capturesOf, streamsOf } from '../../src/app/stream/streams.ts'
import { never } from '../../src/testing/engine.ts'

/** What the reader of each stream does first, without the rest of a run. */
export async function installStreams(open: OpenProject): Promise<void> {
  for (const def of streamsOf(open.project.sources)) {
    const adapter = await openSource(open, def.source)
    try {
      const captures = capturesOf(adapter, def)
      const tables = def.tables.map(capturedTable)
      await rememberStream(open, { def, adapter, captures, tables }, await captures.install(tables, never))
    } finally {
      await adapter.close()
    }
  }
}

/** What a check tells of something that was left at a source. */
export interface FoundLeft {
  readonly code: string
  readonly message: string
  readonly fix: string
}

/** Checks a project. Throws when anything in it is an error. */
export async function checkLeft(open: OpenProject): Promise<readonly FoundLeft[]> {
  const found = await checkProject(open, never)
  const errors = found.filter(it => it.level === 'error')
  if (errors.length > 0) throw new Error(errors.map(it => `${it.where}: ${it.message}`).join('; '))
  return found.filter(it => it.code.startsWith('CAPTURE_LEFT'))
}

/** The statements of a fix: they are what stands behind its first colon. */
export function statementsOf({ fix }: FoundLeft): string {
  return fix.slice(fix.indexOf(': ') + 2)
}
