import path from 'node:path'
import type { Env } from '../core/env.ts'

/** A disk in memory that forgets at a power cut what was not synced: bytes of files, and names in folders. */
export interface ForgetfulDisk {
  readonly files: Env['files']
  /** The disk as it may be found after a cut at this moment. `random` gives numbers from 0 to 1 and decides what was lost. */
  cut(random: () => number): ForgetfulDisk
  /** The next syncs of files fail with `EIO`, and what they were to write counts as written for every later one. */
  failSyncs(count: number): void
  /** Bytes that files may have together; a write takes what there is room for, and the next fails with `ENOSPC`. */
  limit(bytes: number): void
  /** Called before each operation that changes something. */
  onChange: (name: string) => void
}

/** The kernel keeps a page of a write or not: it never tears one in smaller parts than this. */
const SECTOR_BYTES = 512

/** Content of a file: as it reads, and as the disk has it. */
interface File {
  bytes: Buffer
  durable: Buffer
  /** Sectors written since the last sync. */
  dirty: Set<number>
}

type Entry = File | 'folder'

/** Makes an empty disk. What it does not have of Node's files throws when it is called. */
export function forgetfulDisk(): ForgetfulDisk {
  return diskOf(new Map([['/', 'folder']]))
}

function diskOf(start: Map<string, Entry>): ForgetfulDisk {
  /** Names as programs see them, and as the disk has them. */
  const names = start
  const durableNames = new Map(start)
  let failing = 0
  let limit = Number.POSITIVE_INFINITY

  const changed = (name: string): void => disk.onChange(name)
  const get = (name: string): Entry => names.get(path.resolve(name)) ?? raise('ENOENT', name)
  const fileAt = (name: string): File => {
    const entry = get(name)
    return entry === 'folder' ? raise('EISDIR', name) : entry
  }
  const below = (folder: string): string[] => [...names.keys()].filter(it => it !== '/' && path.dirname(it) === folder)
  const used = (): number => {
    const all = new Set([...names.values()].filter(it => it !== 'folder'))
    return [...all].reduce((sum, it) => sum + it.bytes.length, 0)
  }
  const syncNames = (folder: string): void => {
    for (const name of durableNames.keys()) {
      if (path.dirname(name) === folder && name !== '/' && !names.has(name)) durableNames.delete(name)
    }
    for (const name of below(folder)) durableNames.set(name, names.get(name) as Entry)
  }
  const syncFile = (file: File): void => {
    if (failing > 0) {
      failing -= 1
      // As Linux does: the pages count as clean, though the disk never had them.
      file.dirty.clear()
      raise('EIO', 'sync')
    }
    const size = file.bytes.length
    const durable = Buffer.alloc(size)
    file.durable.copy(durable)
    for (const sector of file.dirty) copySector(file.bytes, durable, sector)
    file.durable = durable
    file.dirty.clear()
  }
  const write = (file: File, bytes: Uint8Array, at: number): number => {
    changed('write')
    const room = limit - used() + Math.max(0, file.bytes.length - at)
    if (bytes.length > 0 && room <= 0) raise('ENOSPC', 'write')
    const taken = bytes.subarray(0, Math.min(bytes.length, room))
    const grown = Buffer.alloc(Math.max(file.bytes.length, at + taken.length))
    file.bytes.copy(grown)
    grown.set(taken, at)
    markDirty(file, Math.min(at, file.bytes.length), at + taken.length)
    file.bytes = grown
    return taken.length
  }
  const handleOf = (name: string, entry: Entry): unknown => ({
    read: async (into: Buffer, offset: number, length: number, at: number) => ({
      bytesRead: fileAt(name) && (entry as File).bytes.copy(into, offset, at, at + length),
    }),
    write: async (bytes: Buffer, offset: number, length: number, at: number) => ({
      bytesWritten: write(entry as File, bytes.subarray(offset, offset + length), at),
    }),
    writeFile: async (bytes: string | Uint8Array) => void writeWhole(entry as File, Buffer.from(bytes)),
    truncate: async (size: number) => {
      changed('truncate')
      const file = entry as File
      const bytes = Buffer.alloc(size)
      file.bytes.copy(bytes)
      markDirty(file, Math.min(size, file.bytes.length), Math.max(size, file.bytes.length))
      file.bytes = bytes
    },
    sync: async () => {
      changed('sync')
      if (entry === 'folder') syncNames(path.resolve(name))
      else syncFile(entry)
    },
    datasync: async () => {
      changed('sync')
      syncFile(entry as File)
    },
    close: async () => {},
  })
  const writeWhole = (file: File, bytes: Buffer): void => {
    let done = 0
    while (done < bytes.length) done += write(file, bytes.subarray(done), done)
  }
  const files = {
    mkdir: async (folder: string) => {
      changed('mkdir')
      for (let at = path.resolve(folder); !names.has(at); at = path.dirname(at)) names.set(at, 'folder')
    },
    readdir: async (folder: string) => (get(folder), below(path.resolve(folder)).map(it => path.basename(it))),
    stat: async (name: string) => ({ size: fileAt(name).bytes.length }),
    access: async (name: string) => void get(name),
    readFile: async (name: string, encoding?: BufferEncoding) => {
      const { bytes } = fileAt(name)
      return encoding === undefined ? Buffer.from(bytes) : bytes.toString(encoding)
    },
    open: async (name: string, flags: string) => {
      if (flags.startsWith('r')) return handleOf(name, get(name))
      changed('open')
      if (flags.includes('x') && names.has(path.resolve(name))) raise('EEXIST', name)
      get(path.dirname(path.resolve(name)))
      const file: File = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() }
      names.set(path.resolve(name), file)
      return handleOf(name, file)
    },
    rm: async (name: string) => {
      changed('rm')
      const at = path.resolve(name)
      for (const it of names.keys()) if (it === at || it.startsWith(`${at}/`)) names.delete(it)
    },
    rename: async (from: string, to: string) => {
      changed('rename')
      get(from)
      const [a, b] = [path.resolve(from), path.resolve(to)]
      for (const [name, entry] of names) {
        if (name !== a && !name.startsWith(`${a}/`)) continue
        names.delete(name)
        names.set(b + name.slice(a.length), entry)
      }
    },
    link: async (from: string, to: string) => {
      changed('link')
      if (names.has(path.resolve(to))) raise('EEXIST', to)
      names.set(path.resolve(to), get(from))
    },
  }
  const disk: ForgetfulDisk = {
    files: files as unknown as Env['files'],
    onChange: () => {},
    failSyncs: count => void (failing = count),
    limit: bytes => void (limit = bytes),
    cut: random => diskOf(cutNames(names, durableNames, random)),
  }
  return disk
}

/** A name is as it was or as it was synced; a folder that nobody synced is there when something below it is. */
function cutNames(names: Map<string, Entry>, durable: Map<string, Entry>, random: () => number): Map<string, Entry> {
  const left = new Map<string, Entry>([['/', 'folder']])
  const copies = new Map<File, File>()
  for (const name of new Set([...names.keys(), ...durable.keys()])) {
    const entry = (random() < 0.5 ? names : durable).get(name)
    const kept = names.get(name) === durable.get(name) ? names.get(name) : entry
    if (kept === undefined) continue
    if (kept === 'folder') left.set(name, kept)
    else left.set(name, copies.get(kept) ?? remember(copies, kept, random))
    for (let at = path.dirname(name); !left.has(at); at = path.dirname(at)) left.set(at, 'folder')
  }
  return left
}

function remember(copies: Map<File, File>, file: File, random: () => number): File {
  const isGrown = random() < 0.5
  const bytes = Buffer.alloc(isGrown || file.dirty.size === 0 ? file.bytes.length : file.durable.length)
  file.durable.copy(bytes)
  for (const sector of file.dirty) if (random() < 0.5) copySector(file.bytes, bytes, sector)
  const copy: File = { bytes, durable: Buffer.from(bytes), dirty: new Set() }
  copies.set(file, copy)
  return copy
}

function markDirty(file: File, from: number, to: number): void {
  for (let at = Math.floor(from / SECTOR_BYTES); at * SECTOR_BYTES < to; at++) file.dirty.add(at)
}

function copySector(from: Buffer, to: Buffer, sector: number): void {
  const at = sector * SECTOR_BYTES
  // Beyond the end of a file that was cut shorter.
  if (at < from.length && at < to.length) from.copy(to, at, at, at + SECTOR_BYTES)
}

function raise(code: string, what: string): never {
  throw Object.assign(new Error(`${code}: ${what}`), { code })
}
