import { fileEnding, formatOfEnding } from '../../core/file-ending.ts'
import type { Env } from '../../core/env.ts'
import { fail } from '../../core/errors.ts'
import { typeText } from '../../core/types.ts'
import type {
  Adapter,
  DescribedColumn,
  ReadsTables,
  RowFilter,
  Snapshot,
  SourceBatch,
  TableNow,
  TableShape,
} from '../../services/adapter/contract.ts'
import { matchesGlob } from '../../core/glob.ts'
import type { FilesShape, PartLook, ReadsFiles, TakenFile } from '../../services/adapter/contract-files.ts'

/** What reads the tables of a source, which may be files; `undefined` when it has neither. */
export function readsOf(env: Env, { tables, files }: Adapter, address: string): ReadsTables | undefined {
  return tables ?? (files === undefined ? undefined : tablesOfFiles(env, files, address))
}

/**
 * Files as tables, for a transfer or a look: a table is the pattern of its files, which are taken as they are when it is looked at.
 * How they are written is found out: by their ending, and from the header of CSV. Formats of text give text.
 */
function tablesOfFiles(env: Env, files: ReadsFiles, address: string): ReadsTables {
  return {
    can: { snapshot: true, chunks: false, range: false, totals: false },
    limits: { chunkRows: 1, connections: 1, rowsPerSecond: null, retries: 0, hours: null },
    openSnapshot: async signal => new FileSnapshot(env, { files, address, signal }),
  }
}

interface Folder {
  readonly files: ReadsFiles
  readonly address: string
  readonly signal: AbortSignal
}

class FileSnapshot implements Snapshot {
  readonly takenAtMicros: bigint
  readonly horizonMicros = null
  readonly #folder: Folder
  /** By the pattern of their table. */
  readonly #taken = new Map<string, TakenFile[]>()

  constructor(env: Env, folder: Folder) {
    this.takenAtMicros = env.clock.nowMicros()
    this.#folder = folder
  }

  async look(remote: string): Promise<TableNow> {
    const { files, signal } = this.#folder
    const shape = shapeOf(remote, [])
    const parts: PartLook[] = []
    for (const file of await this.#take(shape)) {
      const found = await files.look(file, shape, signal)
      if (found === null) throw this.#refuse('its fields have no names; the files() of a project say what they are')
      parts.push(...found)
    }
    return { name: remote, columns: this.#sameColumns(parts), denied: [], key: [], rowsEstimate: null }
  }

  /** Once: what comes to the folder later is of another moment. */
  async #take(shape: FilesShape): Promise<readonly TakenFile[]> {
    const known = this.#taken.get(shape.glob)
    if (known !== undefined) return known
    const { files, signal } = this.#folder
    const { complete, waiting } = await files.list(shape, signal)
    // What else lies in the folder may be a link that leads out of it.
    const first = waiting.find(it => matchesGlob(shape.glob, it.name))
    if (first !== undefined) throw this.#refuse(`${first.name} cannot be taken yet: ${first.why}`)
    if (complete.length === 0) throw this.#refuse(`there is no file ${shape.glob}`)
    const taken: TakenFile[] = []
    // Noted before they are taken: one that fails leaves the others to be released.
    this.#taken.set(shape.glob, taken)
    for (const file of complete) taken.push(await files.take(file, shape, signal))
    return taken
  }

  #sameColumns(parts: readonly PartLook[]): readonly DescribedColumn[] {
    const [first, ...others] = parts
    if (first === undefined || first.columns.length === 0) throw this.#refuse('there is nothing in it')
    // Leaving a column out would be a copy that looks whole.
    const nameless = parts.find(part => part.hasNameless === true)
    if (nameless !== undefined) throw this.#refuse(`a column of ${nameless.name} has no name in its header`)
    for (const other of others) {
      if (namesOf(other) === namesOf(first)) continue
      throw this.#refuse(`its files differ: ${first.name} has ${namesOf(first)}, and ${other.name} ${namesOf(other)}`)
    }
    return first.columns
  }

  async boundary(): Promise<null> {
    return null
  }

  async *read(
    table: TableShape,
    _: readonly string[],
    filter: RowFilter,
    signal: AbortSignal,
  ): AsyncGenerator<SourceBatch, void> {
    if (filter.where !== undefined)
      throw this.#refuse('a file runs no SQL, so that --where cannot choose among its rows')
    const columnsOf = (): TableShape['columns'] => table.columns
    for (const file of await this.#take(shapeOf(table.remote, []))) {
      const parts = this.#folder.files.read(file, shapeOf(table.remote, table.columns), { columnsOf }, signal)
      for await (const { batches } of parts) yield* batches
    }
  }

  async totals(): Promise<never> {
    throw fail('INTERNAL', { what: 'files compute no totals' })
  }

  async close(): Promise<void> {
    for (const file of [...this.#taken.values()].flat()) await this.#folder.files.release(file)
  }

  #refuse(problem: string): Error {
    return fail('TRANSFER_FILE', { address: this.#folder.address, problem })
  }
}

function namesOf({ columns }: PartLook): string {
  return columns.map(({ name, type }) => `${name} (${typeText(type)})`).join(', ')
}

function shapeOf(glob: string, columns: FilesShape['columns']): FilesShape {
  const ending = fileEnding(glob)
  const kind = formatOfEnding(ending) ?? 'csv'
  const delimiter = ending === 'tsv' ? '\t' : null
  const format: FilesShape['format'] =
    kind === 'csv'
      ? { kind, delimiter, quote: null, header: true, nulls: [] }
      : kind === 'json'
        ? { kind, path: [] }
        : { kind }
  return { glob, columns, format, encoding: 'utf-8', checksum: 'none' }
}

/** The table that a file is written to when none is named: its name without its endings. */
export function tableOfFile(name: string): string | null {
  const bare = (name.split('/').at(-1) ?? '').split('.')[0] ?? ''
  return /^[\p{L}\p{N}_ -]+$/u.test(bare) ? bare : null
}
