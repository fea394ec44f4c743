import { fail } from '../../../core/errors.ts'

/** Names are those of files: throws `BUS_NAME` for one that could be another name there or lead elsewhere. */
export function checkName(what: string, name: string): void {
  if (!isName(name)) throw fail('BUS_NAME', { what, name })
}

/** True for the name of a topic, a reader or a subscriber. */
export function isName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)
}
