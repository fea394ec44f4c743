import assert from 'node:assert/strict'
import path from 'node:path'
import { cellText } from '../../../core/cell-text.ts'
import { realEnv } from '../../../core/env.ts'
import { isNaruError, type Code } from '../../../core/errors.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import { type RowReject, type SourceBatch } from '../contract.ts'
import { isTyped, type FileFormat, type FilesShape } from '../contract-files.ts'
import { openAdapter } from './open.ts'

/** CSV as it comes when nothing is declared. */
export const csv: Extract<FileFormat, { kind: 'csv' }> = {
  kind: 'csv',
  delimiter: null,
  quote: null,
  header: true,
  nulls: [],
}

/** Columns of these types, all of which may be NULL unless the name ends in `!`. */
export function columnsOf(types: Readonly<Record<string, ColumnType['kind'] | ColumnType>>): readonly ColumnDef[] {
  return Object.entries(types).map(([name, type]) => ({
    name: name.replace(/!$/, ''),
    type: typeof type === 'string' ? ({ kind: type } as ColumnType) : type,
    nullable: !name.endsWith('!'),
    personal: false,
  }))
}

/** What was read of a file. */
export interface Read {
  readonly parts: readonly string[]
  readonly rows: readonly (readonly (string | null)[])[]
  readonly lines: readonly number[]
  readonly rejects: readonly RowReject[]
  readonly unknownColumns: readonly string[]
  readonly dialect: string | undefined
}

/** Drops one file into a new folder and reads it through the adapter; values are spelled as `cellText` does. */
export async function readDropped(
  name: string,
  content: Uint8Array | string,
  shape: Pick<FilesShape, 'format' | 'columns'> & Partial<FilesShape>,
  options: Readonly<Record<string, number>> = {},
): Promise<Read> {
  const { files, variables } = realEnv()
  const folder = await files.mkdtemp(path.join(variables['TMPDIR'] ?? '/tmp', 'naru-formats-'))
  await files.mkdir(path.join(folder, 'in', path.dirname(name)), { recursive: true })
  await files.writeFile(path.join(folder, 'in', name), content)
  const adapter = await openAdapter({
    source: 'partner',
    options: { folder: path.join(folder, 'in'), settle: '1ms', ...options },
    secret: () => assert.fail('a folder needs no secret'),
    configDir: import.meta.dirname,
    stateDir: path.join(folder, 'state'),
    env: realEnv(),
  })
  try {
    return await readFirst(adapter.files ?? assert.fail(), {
      glob: name,
      encoding: 'utf-8',
      checksum: 'none',
      ...shape,
    })
  } finally {
    await adapter.close()
    await files.rm(folder, { recursive: true, force: true })
  }
}

async function readFirst(
  files: NonNullable<Awaited<ReturnType<typeof openAdapter>>['files']>,
  shape: FilesShape,
): Promise<Read> {
  const { signal } = new AbortController()
  const { complete } = await files.list(shape, signal)
  const taken = await files.take(complete[0] ?? assert.fail('the file is not there'), shape, signal)
  const parts: string[] = []
  const batches: SourceBatch[] = []
  for await (const part of files.read(taken, shape, {}, signal)) {
    parts.push(part.name)
    for await (const batch of part.batches) batches.push(batch)
  }
  const types = shape.columns.map(({ type }) => (isTyped(shape.format) ? type : ({ kind: 'text' } as const)))
  return {
    parts,
    rows: batches.flatMap(({ batch }) =>
      Array.from({ length: batch.rows }, (_, row) =>
        batch.columns.map((column, c) => cellText(types[c] as ColumnType, column, row)),
      ),
    ),
    lines: batches.flatMap(({ lines }) => [...(lines ?? [])]),
    rejects: batches.flatMap(it => it.rejects),
    unknownColumns: batches.flatMap(it => it.unknownColumns ?? []),
    dialect: batches.find(it => it.dialect !== undefined)?.dialect,
  }
}

/** For `assert.rejects`: the error has this code, and its message these words. */
export function refused(code: Code, ...words: readonly string[]): (error: unknown) => true {
  return error => {
    assert.ok(isNaruError(error, code), `not ${code}: ${String(error)}`)
    for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" has no ${word}`)
    return true
  }
}
