import assert from 'node:assert/strict'
import { isNaruError, type Code } from '../../core/errors.ts'

/** Passes when the promise is rejected with that code and a message that holds `names`. */
export async function rejectsWith(code: Code, promise: Promise<unknown>, names = ''): Promise<void> {
  await assert.rejects(promise, error => {
    assert.ok(isNaruError(error, code), `expected ${code}, got ${String(error)}`)
    assert.ok(error.message.includes(names), `"${error.message}" does not name "${names}"`)
    return true
  })
}
