// Follows the source of the project in the current folder, as `naru start` does, and tells its parent every half second what
// was seen: `ods` and `dw` as `[micros, largest seq]`, how long ticks took by step, and the ages of the session's own status.
import { runLive } from '../../dist/app/live/run-live.js'
import { openEngine, openProject } from '../../dist/app/project.js'
import { realEnv } from '../../dist/core/env.js'
import { rawSql, renderSql } from '../../dist/core/sql.js'

const env = realEnv()
const open = await openProject(env, { config: undefined, cwd: process.cwd() })
const engine = await openEngine(open, 'write')
const ending = new AbortController()
const never = new AbortController().signal
const lookMs = Number(process.env.LOOK_MS ?? 20)

let seen = { ods: [], dw: [] }
let ticks = { count: 0, statements: 0, ms: [], steps: {}, slow: {}, texts: {} }
let step = 'other'
let isTick = false
let since = 0
let statements = 0
let status = null
const byStep = new Map()

const enter = next => {
  const now = performance.now()
  const of = byStep.get(step) ?? { ms: 0, statements: 0 }
  byStep.set(step, { ms: of.ms + now - since, statements: of.statements + statements })
  since = now
  statements = 0
  step = next
}

/** Statements by their text without numbers: how often and how long. */
const note = (name, args, ms) => {
  const it = args.at(-1)
  const text = it?.table
    ? it.table.path.join('.')
    : it?.path
      ? it.path.join('.')
      : name === 'append'
        ? args[0].path.join('.')
        : renderSql(it, engine.dialect).text
  const temp = name === 'replaceTemp' ? args[0].path.join('.') : ''
  const key = `${step}: ${name} ${temp} ${text.replaceAll(/\s+/g, ' ').replaceAll(/\d+/g, '#').slice(0, 150)}`
  const sum = (ticks.texts[key] ??= { ms: 0, count: 0 })
  sum.ms += ms
  sum.count += 1
}

const counted = tx => {
  const around =
    name =>
    async (...args) => {
      statements += 1
      const began = performance.now()
      try {
        return await tx[name](...args)
      } finally {
        if (process.env.STATEMENTS) note(name, args, performance.now() - began)
      }
    }
  const names = ['execute', 'rows', 'exists', 'columns', 'replaceTemp', 'takeRows', 'append']
  return { ...tx, ...Object.fromEntries(names.map(name => [name, around(name)])) }
}

const watched = {
  ...engine,
  transaction: (signal, body) =>
    engine
      .transaction(signal, async tx => {
        const began = performance.now()
        isTick = false
        byStep.clear()
        since = began
        statements = 0
        step = 'take changes'
        const value = await body(counted(tx))
        enter('commit')
        finish = () => {
          finish = null
          if (!isTick) return
          enter('other')
          ticks.count += 1
          ticks.ms.push(performance.now() - began)
          for (const [name, it] of byStep) {
            const sum = (ticks.steps[name] ??= { ms: 0, statements: 0 })
            sum.ms += it.ms
            sum.statements += it.statements
            ticks.statements += it.statements
          }
        }
        return value
      })
      .finally(() => finish?.()),
  checkpoint: async (withinMs, signal) => {
    const began = performance.now()
    const how = await engine.checkpoint(withinMs, signal)
    ;(ticks.slow[how === 'held' ? 'held' : 'checkpoint'] ??= []).push(performance.now() - began)
    return how
  },
}
let finish = null

const emit = event => {
  if (event.kind === 'step') {
    isTick = true
    enter(event.state === 'begin' ? event.step.split(' ')[0] : 'between, controls, places')
  } else if (event.kind === 'note' && event.level === 'warn') console.error(event.text)
}

const micros = () => Math.round((performance.timeOrigin + performance.now()) * 1000)
const look = async () => {
  await engine.read(never, async tx => {
    for (const [name, table] of [
      ['ods', 'ods.orders'],
      ['dw', 'dw.fact_orders'],
    ]) {
      const [row] = await tx.rows(rawSql(`select max(seq) as seq from ${table}`))
      const now = micros()
      const last = seen[name].at(-1)
      const seq = Number(row?.seq ?? 0)
      if (last?.[1] !== seq) seen[name].push([now, seq])
    }
  })
}

const told = () => {
  process.send?.({
    seen,
    ticks,
    behind: status?.tables.map(it => [it.table, it.state, it.behindMs, it.error]) ?? [],
    held,
    rss: process.memoryUsage.rss(),
    heap: process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers,
  })
  seen = { ods: seen.ods.slice(-1), dw: seen.dw.slice(-1) }
  ticks = { count: 0, statements: 0, ms: [], steps: {}, slow: {}, texts: {} }
}

let reader = null
process.on('message', message => {
  if (message === 'stop') ending.abort()
  // A reader that takes its time: it has read one page, and keeps its view until the end.
  if (message === 'read') void beginReading()
})

async function beginReading() {
  const result = await engine.query(rawSql('select * from ods.orders'), never)
  reader = result.pages[Symbol.asyncIterator]()
  await reader.next()
  process.send?.({ reading: true })
}

/** What the engine holds, by what it is for. */
async function lookAtMemory() {
  await engine.read(never, async tx => {
    const rows = await tx.rows(
      rawSql('select tag, memory_usage_bytes as bytes from duckdb_memory() where memory_usage_bytes > 1e6'),
    )
    held = Object.fromEntries(rows.map(it => [it.tag, Number(it.bytes)]))
  })
}
let held = {}
const telling = setInterval(told, 500)
const lookingAtMemory = setInterval(() => void lookAtMemory().catch(() => {}), 5_000)
const over = new AbortController()
const looking = (async () => {
  while (!over.signal.aborted) {
    await look().catch(() => {})
    await new Promise(resolve => setTimeout(resolve, lookMs))
  }
})()
try {
  await runLive(open, watched, { emit, signal: ending.signal, onStatus: now => (status = now) })
} finally {
  clearInterval(telling)
  clearInterval(lookingAtMemory)
  over.abort()
  await looking
  await reader?.return?.()
  await engine.close()
  process.disconnect?.()
}
