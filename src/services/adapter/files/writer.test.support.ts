import assert from 'node:assert/strict'
import path from 'node:path'
import { realEnv } from '../../../core/env.ts'
import type { ColumnDef } from '../../../core/types.ts'
import { batchOf, type TestValue } from '../../../testing/suite/batches.ts'
import type { WrittenFile } from '../contract-writes.ts'
import { openAdapter } from './open.ts'

const never = new AbortController().signal

/** What is written: the values of each column. */
export interface Rows {
  readonly columns: readonly ColumnDef[]
  readonly values: readonly (readonly TestValue[])[]
}

/** Writes rows into a file of a new folder, in one batch or several units of the same rows; its bytes. */
export async function writtenFile(
  remote: string,
  { columns, values }: Rows,
  file: WrittenFile = {},
  units = 1,
): Promise<Buffer> {
  const { files, variables } = realEnv()
  const folder = await files.mkdtemp(path.join(variables['TMPDIR'] ?? '/tmp', 'naru-writer-'))
  const adapter = await openAdapter({
    source: 'out',
    options: { folder },
    secret: () => assert.fail('a folder needs no secret'),
    configDir: folder,
    stateDir: path.join(folder, 'state'),
    env: realEnv(),
  })
  try {
    const target = { id: 'w', remote, columns, key: [], mode: 'replace', create: false, file } as const
    const writer = await (adapter.writes ?? assert.fail()).openWriter(target, never)
    try {
      for (let unit = 1; unit <= units; unit++) await writer.stage(String(unit), one(batchOf(columns, values)), never)
      await writer.publish({ missed: 'refuse' }, never)
      return await files.readFile(path.join(folder, remote))
    } finally {
      await writer.close()
    }
  } finally {
    await adapter.close()
    await files.rm(folder, { recursive: true, force: true })
  }
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value
}
