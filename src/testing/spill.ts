import { mkdtempSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

let base: string | undefined

/** A new folder for what a stream of a test spills; all of them are removed when the process ends. Only tests use it. */
export function makeSpillDir(): Promise<string> {
  base ??= makeBase()
  return mkdtemp(path.join(base, 's'))
}

function makeBase(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'naru-spill-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
