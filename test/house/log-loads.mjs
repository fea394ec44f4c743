// Writes the address of every module that is loaded to stderr: `node --import ./test/house/log-loads.mjs …`.
import { writeSync } from 'node:fs'
import { createRequire, register } from 'node:module'
import { pathToFileURL } from 'node:url'
import { isMainThread } from 'node:worker_threads'

if (isMainThread) {
  register(import.meta.url)
  // What is loaded by `require` passes no hook.
  const { cache } = createRequire(import.meta.url)
  process.once('exit', () => {
    for (const file of Object.keys(cache)) writeSync(2, `loaded ${pathToFileURL(file).href}\n`)
  })
}

export async function load(url, context, next) {
  writeSync(2, `loaded ${url}\n`)
  return next(url, context)
}
