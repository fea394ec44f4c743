// What benchmarks share: running a process with its wall time, processor time and peak memory; medians; a table.
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** How often the memory of a child is looked at. The kernel keeps its peak, so only the last moment can be missed. */
const LOOK_MS = 20

/**
 * Runs processes side by side and waits for all. `commands` are `[program, ...arguments]`, their output is thrown away.
 * Gives wall seconds, processor seconds of all their threads, and the sum of their peaks of memory in MB.
 */
export async function measure(commands, { env = process.env } = {}) {
  const began = performance.now()
  const peaks = new Map()
  const cpus = new Map()
  const children = commands.map(([program, ...args]) =>
    spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] }),
  )
  const look = setInterval(() => {
    for (const { pid } of children) {
      peaks.set(pid, peakMb(pid) ?? peaks.get(pid))
      cpus.set(pid, cpuSeconds(pid) ?? cpus.get(pid))
    }
  }, LOOK_MS)
  try {
    await Promise.all(children.map(ended))
  } catch (error) {
    for (const child of children) child.kill()
    throw error
  } finally {
    clearInterval(look)
  }
  const total = all => [...all.values()].reduce((sum, one) => sum + (one ?? 0), 0)
  return { seconds: (performance.now() - began) / 1000, cpu: total(cpus), mb: Math.round(total(peaks)) }
}

function ended(child) {
  let complaint = ''
  child.stderr.on('data', text => (complaint = (complaint + text).slice(-2_000)))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code =>
      code === 0 ? resolve() : reject(new Error(`${child.spawnfile} ended with ${code}: ${complaint}`)),
    )
  })
}

/** Processor seconds that a process has used in all its threads, where the system tells (Linux). */
export function cpuSeconds(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return undefined
  }
}

/** Peak resident memory of a process with all its threads, where the system tells (Linux). */
function peakMb(pid) {
  try {
    const [, kb] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return kb === undefined ? undefined : Number(kb) / 1024
  } catch {
    return undefined
  }
}

/** True when a program can be started. */
export function has(program, ...args) {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

export function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
}

/** Prints rows of texts in columns; all but the first are set to the right. */
export function printTable(header, rows) {
  const all = [header, ...rows]
  const widths = header.map((_, i) => Math.max(...all.map(row => row[i].length)))
  for (const row of all)
    console.log(row.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join('  '))
}
