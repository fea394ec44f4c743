import type { Env } from '../../../core/env.ts'
import { duringOf, type During } from '../during.ts'
import { Connection, type SessionUse } from './connection.ts'
import { sourceError } from './errors.ts'
import type { Target } from './target.ts'

/** Does tasks over connections of their own to this source. */
export function duringSession(env: Env, target: Target): During<Connection, SessionUse> {
  return duringOf(
    (use, signal) => Connection.open(env, target, use, signal),
    error => sourceError(error, target, null),
  )
}
