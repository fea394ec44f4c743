import { ident, sql } from '../../../../core/sql.ts'
import type { Leftover, Leftovers, LeftTables } from '../../contract-capture.ts'
import { readCatalog } from '../catalog.ts'
import type { Connection } from '../connection.ts'
import { readPublication, type Publication } from './publication.ts'
import { parsePosition } from './position.ts'
import type { LogSettings } from './settings.ts'
import { dropSlot, removeFromPublication, statement } from './setup.ts'
import { readServer, type SlotState } from './slot.ts'

interface Given {
  readonly connection: Connection
  readonly settings: LogSettings
}

/** What is left of a stream of the log: its slot and publication, or tables that the publication still has. */
export async function leftOf(given: Given, left: LeftTables, signal: AbortSignal): Promise<Leftovers> {
  const { connection, settings } = given
  const from = parsePosition(left.position)
  const { system, slot } = await readServer(connection, settings, signal)
  if (from?.system !== system)
    return { kind: 'unseen', problem: 'this is another server than the one where it was made' }
  const publication = await readPublication(given, signal)
  const ours = publication !== null && publication.ours !== null ? publication : null
  // Made anew since, by whoever reads it now: of ours nothing is left. One that a person made is never named.
  if (ours !== null && Number(ours.oid) !== from.publication) return { kind: 'gone' }
  const found: Leftover[] = []
  if (!left.isWhole) {
    if (ours !== null) found.push(...(await publishedLeft(given, ours, left, signal)))
  } else {
    if (slot?.activePid != null) return { kind: 'read' }
    if (slot !== null) found.push(slotLeft(settings, slot))
    if (ours !== null) found.push(publicationLeft(settings))
  }
  return found.length === 0 ? { kind: 'gone' } : { kind: 'found', found }
}

function slotLeft(settings: LogSettings, { keptBytes, safeBytes, status }: SlotState): Leftover {
  const limit = safeBytes === null ? ' until the disk is full, for max_slot_wal_keep_size is not set' : ''
  const keeps =
    status === 'lost'
      ? 'the server has thrown away the log that it kept'
      : `the server keeps all of its log for it, of every database${limit}: ${keptBytes ?? 0n} bytes by now`
  return {
    remotes: [],
    what: `the replication slot "${settings.slot}"`,
    keeps,
    by: 'a superuser or an account with REPLICATION',
    remove: [statement(dropSlot(settings))],
  }
}

function publicationLeft({ publication }: LogSettings): Leftover {
  return {
    remotes: [],
    what: `the publication "${publication}"`,
    keeps: 'it keeps nothing, and lets its tables be updated only while they have a replica identity',
    by: 'the owner of the publication',
    remove: [statement(sql`drop publication if exists ${ident(publication)}`)],
  }
}

async function publishedLeft(
  { connection, settings }: Given,
  { isAll, tables }: Publication,
  { remotes }: LeftTables,
  signal: AbortSignal,
): Promise<readonly Leftover[]> {
  const found: Leftover[] = []
  for (const remote of isAll ? [] : remotes) {
    const [table] = await readCatalog(connection, { name: remote }, signal)
    if (table === undefined || !tables.has(String(table.oid))) continue
    found.push({
      remotes: [remote],
      what: `table "${remote}" in the publication "${settings.publication}"`,
      keeps: 'it keeps nothing, and its changes are decoded, sent and thrown away',
      remove: [statement(removeFromPublication(settings, remote))],
    })
  }
  return found
}
