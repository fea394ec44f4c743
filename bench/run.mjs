// npm run bench -- <name> [options]: runs bench/<name>.mjs and passes the options on.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const names = readdirSync(import.meta.dirname)
  .filter(file => file.endsWith('.mjs') && !['run.mjs', 'measure.mjs'].includes(file))
  .map(file => file.slice(0, -'.mjs'.length))

const [name, ...options] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  console.error(`Usage: npm run bench -- <name> [options]\n\nThe benchmarks are: ${names.join(', ')}.`)
  process.exit(2)
}
process.argv.splice(2, Number.POSITIVE_INFINITY, ...options)
await import(pathToFileURL(join(import.meta.dirname, `${name}.mjs`)).href)
