import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { ident, rawSql } from '../../../core/sql.ts'
import type { ColumnDef, ColumnType } from '../../../core/types.ts'
import { testOpening } from '../../../testing/engine.ts'
import type { AppendedLines, Engine, Row } from '../contract.ts'
import { openEngine } from './open.ts'

const never = new AbortController().signal
const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
})

const column = (name: string, type: ColumnType): ColumnDef => ({ name, type, nullable: true, personal: false })
const fields = [
  column('a', { kind: 'text' }),
  column('b"', { kind: 'text' }),
  column('_line', { kind: 'int', bits: 64 }),
]

async function opened(): Promise<{ readonly engine: Engine; readonly spool: string; readonly folder: string }> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-lines-'))
  const spool = path.join(folder, 'spool')
  await mkdir(spool)
  ending.push(() => rm(folder, { recursive: true, force: true }))
  const engine = await openEngine({ ...testOpening(path.join(folder, 'x.duckdb')), readsFrom: spool })
  ending.push(() => engine.close())
  await engine.transaction(never, tx =>
    tx.execute(rawSql('create table t (a varchar, "b""" varchar, _line bigint, _load bigint)')),
  )
  return { engine, spool, folder }
}

async function append(
  engine: Engine,
  localPath: string,
  lines: readonly string[],
  said = lines.length,
): Promise<readonly Row[]> {
  await writeFile(localPath, lines.map(line => `${line}\n`).join(''))
  const given: AppendedLines = {
    localPath,
    delimiter: '\u001f',
    rows: said,
    fields,
    constants: new Map([['_load', 7n]]),
  }
  return engine.transaction(never, async tx => {
    await tx.appendLines?.(ident('main', 't'), given)
    return tx.rows(rawSql('select * from t order by _line'))
  })
}

test('lines arrive as they stand, whatever is in them', async () => {
  const { engine, spool } = await opened()
  const texts = [
    '"',
    "'",
    '\\',
    '#',
    ',',
    ';',
    '\t',
    ' x ',
    '한',
    'NULL',
    '\\N',
    '""',
    '-',
    '1e5',
    '\u2028',
    'x'.repeat(700_000),
  ]
  const lines = texts.map((text, i) => [text, i % 2 === 0 ? '' : text, i + 1].join('\u001f'))
  expect(await append(engine, path.join(spool, 'x'), lines)).toEqual(
    texts.map((text, i) => ({ a: text, 'b"': i % 2 === 0 ? null : text, _line: BigInt(i + 1), _load: 7n })),
  )
})

test('a file that has other lines than said leaves nothing', async () => {
  const { engine, spool } = await opened()
  const line = 'x\u001fy\u001f1'
  await expect(append(engine, path.join(spool, 'x'), [line, line], 3)).rejects.toMatchObject({ code: 'INTERNAL' })
  await expect(append(engine, path.join(spool, 'x'), [line, 'x\u001f2'])).rejects.toMatchObject({ code: 'ENGINE_SQL' })
  await expect(append(engine, path.join(spool, 'x'), [line, `${line}\u001f3`])).rejects.toMatchObject({
    code: 'ENGINE_SQL',
  })
  expect(await engine.transaction(never, tx => tx.rows(rawSql('select * from t')))).toEqual([])
})

test('no file outside the folder is read, and without a folder none at all', async () => {
  const { engine, spool, folder } = await opened()
  await expect(append(engine, path.join(folder, 'x'), ['x\u001fy\u001f1'])).rejects.toMatchObject({
    code: 'ENGINE_SQL',
  })
  await writeFile(path.join(folder, 'y'), 'x')
  const outside = rawSql(`select * from read_csv('${path.join(spool, '../y')}')`)
  await expect(engine.transaction(never, tx => tx.rows(outside))).rejects.toMatchObject({ code: 'ENGINE_SQL' })
  const other = await openEngine(testOpening(':memory:'))
  ending.push(() => other.close())
  await other.transaction(never, async tx => expect(tx.appendLines).toBeUndefined())
})
