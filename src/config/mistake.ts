import { fileURLToPath } from 'node:url'
import { fail, type NaruError } from '../core/errors.ts'

/** This package: frames in it are ours, the first frame outside is the user's line. */
const own = fileURLToPath(new URL('..', import.meta.url))

/** A mistake in the configuration, with the file and line of the user's code that made it. */
export function mistake(problem: string): NaruError {
  return fail('CONFIG_INVALID', { path: placeOf(new Error().stack ?? '') ?? 'naru.config.ts', problem })
}

/** `file:line` of the first frame of a stack that is neither ours, nor Node's, nor the loader's. */
export function placeOf(stack: string): string | null {
  for (const line of stack.split('\n')) {
    const frame = /\(?((?:file:\/\/|\/|[A-Za-z]:[\\/])[^()]*?):(\d+):\d+\)?$/.exec(line.trim())
    // Node's own frames have names such as node:internal/modules/cjs/loader.
    if (frame === null || /[ (]node:/.test(line)) continue
    const [, file, number] = frame as unknown as [string, string, string]
    const path = file.startsWith('file:') ? fileURLToPath(file) : file
    if (!isForeign(path)) return `${path}:${number}`
  }
  return null
}

function isForeign(path: string): boolean {
  const isOwn = path.startsWith(own) && !path.endsWith('.test.ts')
  return isOwn || /[\\/]node_modules[\\/](?:jiti|vitest|@vitest)[\\/]/.test(path)
}
