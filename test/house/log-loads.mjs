// Writes the address of every module that is loaded to stderr: `node --import ./test/house/log-loads.mjs …`.
import { writeSync } from 'node:fs'
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

if (isMainThread) register(import.meta.url)

export async function load(url, context, next) {
  writeSync(2, `loaded ${url}\n`)
  return next(url, context)
}
