import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { undoLoad } from '../../src/app/undo.ts'
import type { Handle } from '../../src/config/handle.ts'
import { makeStore, type Store } from './store.ts'

/** A project in this process that reads a folder of files. */
export interface Folder extends Pick<Store, 'run' | 'rows' | 'configure' | 'remove'> {
  readonly inbox: string
  /** Puts a file into the folder, newer than those before and finished long ago. */
  put(name: string, content: string | Uint8Array): Promise<void>
  take(name: string): Promise<void>
  undo(load: string): Promise<void>
}

/** `models` makes the config from the folder. */
export async function makeFolder(models: (inbox: string) => Record<string, Handle>): Promise<Folder> {
  const store = await makeStore('select 1', () => ({}))
  const inbox = path.join(store.folder, 'inbox')
  await mkdir(inbox)
  store.configure(models(inbox))
  let files = 0
  return {
    ...store,
    inbox,
    put: async (name, content) => {
      const file = path.join(inbox, name)
      await mkdir(path.dirname(file), { recursive: true })
      await writeFile(file, content)
      const at = new Date(Date.UTC(2026, 0, 1) + 3_600_000 * files++)
      await utimes(file, at, at)
    },
    take: name => rm(path.join(inbox, name)),
    undo: async load => {
      const options = { load, cascade: false, keepPosition: false, emit: () => {} }
      await undoLoad(store.open(), { ...options, signal: new AbortController().signal })
    },
  }
}
