// npm run bench -- startup: `naru --help` against a bare `node -e 0`, as whole processes, interleaved.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const runs = 21
const root = join(import.meta.dirname, '..')
const bare = []
const help = []

for (let i = 0; i < runs; i += 1) {
  bare.push(timed(['-e', '0']))
  help.push(timed([join(root, 'dist', 'cli', 'main.js'), '--help']))
}

const ratio = median(help) / median(bare)
console.log(`node -e 0     ${median(bare).toFixed(1)} ms (median of ${runs})`)
console.log(`naru --help   ${median(help).toFixed(1)} ms`)
console.log(`ratio         ${ratio.toFixed(2)} (goal: at most 1.5)`)

function timed(args) {
  const began = performance.now()
  const done = spawnSync(process.execPath, args, { stdio: 'ignore' })
  if (done.status !== 0) throw new Error(`${args.join(' ')} ended with status ${done.status}`)
  return performance.now() - began
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
}
