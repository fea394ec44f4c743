import { changeOp } from '../../core/change-slice.ts'
import { fail } from '../../core/errors.ts'
import type { Emit } from '../../core/events.ts'
import { ident, sql, type Ident } from '../../core/sql.ts'
import { columnList, equalKeys, stagedName, stagingLayout, stagingNames } from '../../run/tables.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { takeChanges, type TakenTable } from './land.ts'
import type { ReadAgain } from './read-again.ts'
import type { OpenStream, StreamTable } from './session.ts'
import { firstUnseen } from './unseen.ts'

/** Bytes of changes that are looked at in one step. */
const stepBytes = 16 * 1024 * 1024

interface Given {
  readonly stream: OpenStream
  /** With its place: everything up to there is in the image. */
  readonly table: StreamTable
  readonly again: ReadAgain
  readonly signal: AbortSignal
  readonly emit: Emit
}

/**
 * Of what was read again, drops the rows of the keys that the stream changed meanwhile: the image has them by the stream,
 * which is newer. In the landing stand instead those of the image, so that nothing of these keys differs. "Meanwhile" begins
 * at the place that the table had before it was read, or at the first transaction that a view had not seen, and ends where
 * the image is. Gives how many keys there were; `null` when the table was emptied at once, and nothing can be compared.
 */
export async function dropTouched(tx: Transaction, given: Given): Promise<number | null> {
  const { again } = given
  const known = again.extracted.table
  const { image, landing } = stagingNames(known)
  const touched = ident('temp', `touched_${stagedName(known)}`)
  await tx.replaceTemp(touched, sql`select ${columnList(known.key)} from ${image} where false`)
  const isEmptied = await noteTouched(tx, given, touched)
  const all = columnList(stagingLayout(known).map(column => column.name))
  if (isEmptied) {
    await tx.execute(sql`delete from ${landing}`)
    await tx.execute(sql`insert into ${landing} (${all}) select ${all} from ${image}`)
    return null
  }
  await tx.execute(sql`delete from ${landing} l using ${touched} t where ${equalKeys('l', 't', known.key)}`)
  const kept = columnList(
    stagingLayout(known).map(column => column.name),
    's',
  )
  await tx.execute(sql`
    insert into ${landing} (${all}) select ${kept} from ${image} s
    where exists (select 1 from ${touched} t where ${equalKeys('s', 't', known.key)})`)
  const [row] = await tx.rows(sql`select count(*) as n from ${touched}`)
  return Number(row?.['n'])
}

/** True when the table was emptied at once. */
async function noteTouched(tx: Transaction, given: Given, touched: Ident): Promise<boolean> {
  const { stream, table, again, signal, emit } = given
  const { topic, reader } = stream
  const known = again.extracted.table
  const upTo = table.at?.place
  if (upTo === undefined) throw fail('INTERNAL', { what: `${known.source}.${known.name} has no place in its stream` })
  const begin = await firstUnseen(stream, again.from, again.lacks, signal)
  if (begin === null) throw fail('RESYNC_CHANGED', { table: `${known.source}.${known.name}` })
  let at = { ...again.from, place: begin }
  while (topic.compare(at.place, upTo) < 0) {
    // Rejects of these changes were told when the ticks took them: load 0 is none.
    const load = (): ReturnType<TakenTable['load']> => Promise.resolve({ load: 0n, lines: 0n })
    const tables = [{ config: table.config, known, at, load }]
    const [taken] = await takeChanges(tx, { topic, log: reader.log, tables, upTo, bytes: stepBytes, signal, emit })
    await tx.execute(sql`delete from naru.reject where load = 0`)
    const broken = taken?.needsReload === true || (taken?.stopped ?? null) !== null
    if (taken === undefined || broken) throw fail('RESYNC_CHANGED', { table: `${known.source}.${known.name}` })
    at = taken.at
    if (taken.staged === null) continue
    if (taken.staged.truncates) return true
    const key = columnList(known.key)
    const { changes } = taken.staged
    await tx.execute(sql`
      insert into ${touched} select distinct ${key} from ${changes} c
      where "_op" <> ${changeOp.truncate} and not exists (select 1 from ${touched} t where ${equalKeys('t', 'c', known.key)})`)
  }
  return false
}
