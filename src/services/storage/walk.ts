import { fail, isNaruError } from '../../core/errors.ts'
import type { Listing } from './contract.ts'

/** Deepest folder that is listed, counted from where a listing begins. Hive partitions are 3 to 6 deep. */
export const folderDepthMax = 32

/** Names that one listing may hold: about 100 MB of memory. */
export const listedMax = 250_000

/** Folders that are listed at the same time. */
const foldersAtOnce = 4

/** What lies directly in one folder. Names of `folders` are whole keys, checked as those of files are. */
export interface FolderListing extends Listing {
  readonly folders: readonly string[]
}

export interface Walk {
  /** Who uses the storage, for messages. */
  readonly usedBy: string
  readonly folder: string
  /** As `Storage.list` has it. */
  readonly enter: ((folder: string) => boolean) | undefined
  readonly listOne: (folder: string) => Promise<FolderListing>
}

/** Lists a folder and those below it that may be entered, for storages that list one folder at a time. */
export async function walk({ usedBy, folder, enter, listOne }: Walk): Promise<Listing> {
  const found = new Listed(usedBy, folder)
  const first = await listOne(folder)
  found.add(first)
  let folders = enter === undefined ? [] : first.folders.filter(enter)
  for (let depth = 1; folders.length > 0; depth++) {
    if (depth > folderDepthMax) throw fail('STORAGE_TOO_DEEP', { storage: usedBy, folder, depth: folderDepthMax })
    const below: string[] = []
    for (let at = 0; at < folders.length; at += foldersAtOnce) {
      const group = folders.slice(at, at + foldersAtOnce)
      for (const listing of await Promise.all(group.map(it => unlessGone(listOne(it))))) {
        found.add(listing)
        for (const it of listing.folders) if (enter?.(it) === true) below.push(it)
      }
    }
    folders = below
  }
  return found.listing()
}

/** Gathers a listing up to its limit: a folder without end stops with `STORAGE_TOO_MANY`. */
export class Listed {
  readonly #usedBy: string
  readonly #folder: string
  readonly #files: Listing['files'][number][] = []
  readonly #refused: string[] = []
  #folders = 0

  constructor(usedBy: string, folder: string) {
    this.#usedBy = usedBy
    this.#folder = folder
  }

  add(part: Listing & { readonly folders?: readonly string[] }): void {
    this.#folders += part.folders?.length ?? 0
    if (this.#files.length + this.#refused.length + this.#folders + part.files.length > listedMax) {
      throw fail('STORAGE_TOO_MANY', { storage: this.#usedBy, folder: this.#folder, names: listedMax })
    }
    for (const file of part.files) this.#files.push(file)
    for (const name of part.refused) this.#refused.push(shownName(name))
  }

  /** What was gathered, by name. */
  listing(): Listing {
    return { files: this.#files.sort((a, b) => (a.key < b.key ? -1 : 1)), refused: this.#refused.sort() }
  }
}

/** A name from outside as a terminal may show it: hostile ones hold control characters, and have no end. */
function shownName(name: string): string {
  return name.replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, '\ufffd').slice(0, 300)
}

/** A folder that was removed since its name was seen holds nothing. */
async function unlessGone(listing: Promise<FolderListing>): Promise<FolderListing> {
  try {
    return await listing
  } catch (error) {
    if (isNaruError(error, 'STORAGE_NOT_FOUND')) return { files: [], refused: [], folders: [] }
    throw error
  }
}
