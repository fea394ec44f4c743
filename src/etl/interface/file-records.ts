import { sql, type Sql } from '../../core/sql.ts'
import type { SourceTableDef } from '../../config/model.ts'
import { ofTable } from '../../run/tables.ts'
import type { RemoteFile, TakenFile } from '../../services/adapter/contract-files.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import type { InterfaceContext } from './context.ts'

/** Some storages give times to the minute only: a file this fresh may change again without a new time or size. */
const freshMicros = 120_000_000n

/** What became of a file: rows of `naru.file`. */
export type FileState = 'loaded' | 'duplicate' | 'superseded' | 'refused'

/**
 * True when this very file needs no second look: same name, size and time, the time not too fresh to trust, and its
 * content stands in a load that counts. A file of a load that was broken off is new again.
 */
export async function isKnown(tx: Transaction, table: SourceTableDef, file: RemoteFile): Promise<boolean> {
  const [row] = await tx.rows(sql`
    select 1 as known from naru.file f
    where ${ofTable(table)} and name = ${file.name} and bytes = ${file.bytes}
      and modified_micros = ${file.modifiedMicros} and taken_micros - modified_micros > ${freshMicros}
      and (state = 'superseded' or content_hash in (select content_hash from (${loadedFiles(table)}))) limit 1`)
  return row !== undefined
}

/**
 * True when a file that was too fresh to trust is still what it was: it is noted as looked at, and needs no third look
 * once its time has settled.
 */
export async function isSeenAgain(
  ctx: InterfaceContext,
  tx: Transaction,
  table: SourceTableDef,
  file: TakenFile,
): Promise<boolean> {
  const noted = await tx.execute(sql`
    update naru.file set taken_micros = ${ctx.run.asOfMicros}
    where ${ofTable(table)} and name = ${file.name} and modified_micros = ${file.modifiedMicros}
      and content_hash = ${file.contentHash}
      and (state in ('superseded', 'duplicate') or (state = 'loaded' and content_hash in (
        select content_hash from (${loadedFiles(table)}))))`)
  return noted > 0
}

/**
 * The file that brought this content before. Where each file is the whole table only the last one counts, and the very
 * file itself: a partner who sends an old list again means it.
 */
export async function nameOfContent(tx: Transaction, table: SourceTableDef, file: TakenFile): Promise<string | null> {
  const { change } = table
  const itself = sql`(name = ${file.name} and bytes = ${file.bytes} and modified_micros = ${file.modifiedMicros})`
  const counts = change.technique === 'files' && change.scope === 'full' ? sql`(age = 1 or ${itself})` : sql`true`
  const [row] = await tx.rows(sql`
    select name from (select *, row_number() over (order by load desc, name) as age from (${loadedFiles(table)}))
    where content_hash = ${file.contentHash} and ${counts} order by load limit 1`)
  return row === undefined ? null : (row['name'] as string)
}

/** The file that made the present image of a table which each file replaces. */
export async function lastLoaded(
  tx: Transaction,
  table: SourceTableDef,
): Promise<Pick<RemoteFile, 'name' | 'modifiedMicros'> | null> {
  const [row] = await tx.rows(sql`${loadedFiles(table)} order by load desc limit 1`)
  if (row === undefined) return null
  return { name: row['name'] as string, modifiedMicros: row['modified_micros'] as bigint }
}

/** The files of loads that count. */
export function loadedFiles(table: SourceTableDef): Sql {
  return sql`
    select * from naru.file where ${ofTable(table)} and state = 'loaded'
      and load in (select load from naru.load where state in ('accepted', 'published'))`
}

/** Notes what became of a file; `readAs` says by which options it was read. */
export async function writeFile(
  ctx: InterfaceContext,
  tx: Transaction,
  table: SourceTableDef,
  file: RemoteFile & { readonly contentHash: string | null },
  state: FileState,
  more: { readonly reason?: string; readonly load?: bigint; readonly readAs?: string },
): Promise<void> {
  const { reason = null, load = null, readAs = null } = more
  // A name may come again with other content; what it brought before is known by its content as long as its load counts.
  await tx.execute(sql`
    delete from naru.file where ${ofTable(table)} and name = ${file.name} and state = ${state}
      and (state <> 'loaded' or content_hash = ${file.contentHash}
        or load not in (select load from naru.load where state in ('accepted', 'published')))`)
  await tx.execute(sql`
    insert into naru.file values (${table.source}, ${table.name}, ${file.contentHash}, ${file.name}, ${file.bytes},
      ${file.modifiedMicros}, ${ctx.run.asOfMicros}, ${state}, ${reason}, ${load}, ${readAs})`)
}
