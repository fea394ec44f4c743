// Opens a project whose sources are never asked: first loads and change sets are made in the engine, where the interface
// stage would have put them, and then published as every run publishes.
import { DuckDBInstance } from '@duckdb/node-api'
import { cpSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openEngine, openProject } from '../../dist/app/project.js'
import { publishAll } from '../../dist/app/publish.js'
import { begin } from '../../dist/app/run-frame.js'
import { realEnv } from '../../dist/core/env.js'
import { ident, joinSql, rawSql, renderSql, sql } from '../../dist/core/sql.js'
import { reconcileStages } from '../../dist/app/reconcile.js'
import { tasksOf } from '../../dist/app/tasks.js'
import { applyChanges } from '../../dist/etl/staging/index.js'
import { buildGraph } from '../../dist/plan/graph.js'
import { openChanges } from '../../dist/run/changes-table.js'
import { publish as doPublish } from '../../dist/run/publish.js'
import { createLanding } from '../../dist/run/landing.js'
import { acceptLoad, beginLoad } from '../../dist/run/loads.js'
import { columnList, stagedName, stagingLayout, stagingNames } from '../../dist/run/tables.js'
import { median } from '../measure.mjs'
import { airline, wide } from './data.mjs'

const signal = new AbortController().signal
const root = join(import.meta.dirname, '..', '..')

export async function openTicks({ folder, project, engine: kind, rows, order, memory, plain, warehouse, changes }) {
  const data = { airline, wide }[project](rows)
  if (project === 'airline') cpSync(join(root, 'examples', 'airline'), folder, { recursive: true })
  else writeFileSync(join(folder, 'naru.config.ts'), data.config)
  mkdirSync(join(folder, 'sources'), { recursive: true })
  const env = realEnv()
  const variables = { ...env.variables, OPS_URL: 'x', PARTNER_URL: 'x', MASK_KEY: 'x' }
  const opened = await openProject({ ...env, variables }, { config: undefined, cwd: folder })
  const options =
    kind === 'postgres'
      ? { url: { kind: 'secret', from: 'env', name: 'WAREHOUSE_URL' } }
      : { path: 'bench.duckdb', memory }
  const open = { ...opened, project: { ...opened.project, engine: { kind, options } } }
  const engine = await openEngine(open, 'write')
  const spy = spying(engine)
  const table = name => open.project.sources.flatMap(it => it.tables).find(it => it.name === name)
  const changed = stagingNames(table(data.changed.table)).image
  const floor = ident('staging', 'bench_floor')
  // What the live loop keeps from one publish to the next.
  const context = plain ? {} : { checked: new Set(), controls: 'changes', warehouse }

  /** Makes a load of one table, as the interface stage leaves it. */
  async function load(shared, name, scope, query) {
    return engine.transaction(signal, async tx => {
      const it = table(name)
      const begun = { run: shared.run.id, scope, sinceMicros: null, horizonMicros: 1n, takenMicros: 1n, sweep: false }
      const { load: id } = await beginLoad(tx, it, begun)
      await createLanding(tx, it, { sweep: false })
      const names = columnList(stagingLayout(it).map(column => column.name))
      const count = await tx.execute(sql`
        insert into ${stagingNames(it).landing} (${names}) select s.*, ${id}, 1, null from (${query}) s`)
      await acceptLoad(tx, id, { rows: count, rejected: 0 })
      return { load: id, table: it, scope, swept: false, controls: null }
    })
  }

  /** The same rows as a stream brings them: changes in a table of their own. */
  async function publishChanges(shared, query) {
    const it = table(data.changed.table)
    const graph = buildGraph(open.project)
    await spy.engine.transaction(signal, async tx => {
      const ctx = { ...shared, tx }
      const changes = await openChanges(tx, it)
      await tx.execute(sql`insert into ${changes} select s.*, 2, row_number() over (), ${null} from (${query}) s`)
      const stage = async of =>
        (
          await applyChanges(of, {
            load: 1n,
            table: it,
            changes,
            ...stagingNames(it),
            unchanged: [],
            moves: false,
            truncates: false,
          })
        ).changes
      const tasks = tasksOf(open.project, [], new Map([[stagedName(it), stage]]))
      const { changed } = await doPublish(ctx, graph, tasks, new Map(graph.nodes.map(node => [node.id, node.hash])))
      await reconcileStages(ctx, changed)
    })
  }

  async function publish(shared, loads, { first = false, query = null } = {}) {
    spy.begin()
    const startMs = performance.now()
    const cpu = process.cpuUsage()
    const ctx = { ...shared, emit: spy.emit, ...(first ? { warehouse } : context) }
    if (query === null) await publishAll(spy.engine, ctx, { loads, stopped: [], passes: [], isLast: true })
    else await publishChanges(ctx, query)
    return { ms: performance.now() - startMs, cpuMs: cpuMs(cpu), ...spy.end() }
  }

  return {
    /** Fills every table; gives milliseconds. */
    fill: async () => {
      const shared = await begin(open, engine, { signal, emit: () => {} })
      const loads = []
      for (const [name, text] of Object.entries(data.tables)) loads.push(await load(shared, name, 'all', rawSql(text)))
      const { ms } = await publish(shared, loads, { first: true })
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`create table ${floor} as select * from ${changed}`)
      })
      await engine.checkpoint()
      return ms
    },
    /** Publishes one change set of `keys` keys. */
    tick: async (keys, round) => {
      const shared = await begin(open, engine, { signal, emit: () => {} })
      const query = data.changed.query(keys, round, order)
      if (changes) return publish(shared, [], { query: rawSql(query) })
      return publish(shared, [await load(shared, data.changed.table, 'delta', rawSql(query))])
    },
    /** The same keys into a copy of one table, by hand. */
    floor: async (keys, round) => {
      const key = table(data.changed.table).key.map(name => sql`f.${ident(name)} = d.${ident(name)}`)
      const same = joinSql(key, ' and ')
      const delta = ident('temp', 'bench_delta')
      const query = rawSql(data.changed.query(keys, round, order))
      await engine.transaction(signal, tx =>
        tx.replaceTemp(delta, sql`select s.*, 1 as l, 1 as u, cast(null as bigint) as n from (${query}) s`),
      )
      const cpu = process.cpuUsage()
      const startMs = performance.now()
      await engine.transaction(signal, async tx => {
        await tx.execute(sql`delete from ${floor} f using ${delta} d where ${same}`)
        await tx.execute(sql`insert into ${floor} select * from ${delta}`)
      })
      return { ms: performance.now() - startMs, cpuMs: cpuMs(cpu) }
    },
    /** The size of the file, its free part, and the processor time of a scan of the large table. */
    shape: async name => {
      const scans = []
      const columns = table(data.changed.table).columns.map(({ name }) => sql`max(${ident(name)})`)
      const [size] = await engine.transaction(signal, async tx => {
        for (let i = 0; i < 5; i += 1) {
          const cpu = process.cpuUsage()
          await tx.rows(sql`select ${joinSql(columns)} from ${changed}`)
          scans.push(cpuMs(cpu))
        }
        return tx.rows(sql`select block_size * total_blocks as bytes, block_size * free_blocks as free
          from pragma_database_size() where database_name = '_naru'`)
      })
      const mb = bytes => Number(bytes) / 1e6
      return { name, mb: mb(size.bytes), freeMb: mb(size.free), scanMs: median(scans) }
    },
    /** Closes the engine, writes every table into a new file, and takes its size and the same scan there. */
    fresh: async name => {
      await engine.close()
      const file = join(folder, 'fresh.duckdb')
      const db = await (await DuckDBInstance.create(':memory:', { memory_limit: memory })).connect()
      const rows = async text => (await db.runAndReadAll(text)).getRowObjectsJS()
      await db.run(`attach '${join(folder, 'bench.duckdb')}' as used (read_only); attach '${file}' as fresh`)
      const tables = await rows(
        `select schema_name as s, table_name as t from duckdb_tables() where database_name = 'used'`,
      )
      for (const { s, t } of tables) {
        await db.run(
          `create schema if not exists fresh."${s}"; create table fresh."${s}"."${t}" as from used."${s}"."${t}"`,
        )
      }
      await db.run('checkpoint fresh')
      const columns = table(data.changed.table).columns.map(it => `max("${it.name}")`)
      const scans = []
      for (let i = 0; i < 5; i += 1) {
        const cpu = process.cpuUsage()
        await db.run(`select ${columns.join()} from fresh.${changed.path.map(it => `"${it}"`).join('.')}`)
        scans.push(cpuMs(cpu))
      }
      db.closeSync()
      return { name, mb: statSync(file).size / 1e6, freeMb: 0, scanMs: median(scans) }
    },
    close: () => engine.close(),
    engine,
  }
}

const cpuMs = since => {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

/** The engine, with every statement of a transaction timed under the step that it belongs to. */
function spying(engine) {
  let step = ''
  let statements = []
  let beganMs = 0
  const times = new Map()
  const timed = (text, call) => async () => {
    const startMs = performance.now()
    try {
      return await call()
    } finally {
      statements.push({ step, ms: performance.now() - startMs, text: shown(text()) })
    }
  }
  const shown = text => text.replaceAll(/\s+/g, ' ').trim().slice(0, 220)
  const text = statement => renderSql(statement, engine.dialect).text
  const around = tx => ({
    ...tx,
    execute: it =>
      timed(
        () => text(it),
        () => tx.execute(it),
      )(),
    rows: it =>
      timed(
        () => text(it),
        () => tx.rows(it),
      )(),
    exists: it =>
      timed(
        () => `exists ${it.path}`,
        () => tx.exists(it),
      )(),
    columns: it =>
      timed(
        () => `columns ${it.path}`,
        () => tx.columns(it),
      )(),
    takeRows: it =>
      timed(
        () => `take from ${it.table.path.join('.')}`,
        () => tx.takeRows(it),
      )(),
    replaceTemp: (name, it) =>
      timed(
        () => `temp ${name.path[1]}: ${text(it)}`,
        () => tx.replaceTemp(name, it),
      )(),
  })
  const enter = next => {
    const nowMs = performance.now()
    if (step !== '') times.set(step, (times.get(step) ?? 0) + nowMs - beganMs)
    beganMs = nowMs
    step = next
  }
  return {
    engine: {
      ...engine,
      transaction: (until, body) =>
        engine.transaction(until, async tx => {
          const value = await body(around(tx))
          enter('commit')
          return value
        }),
    },
    emit: event => {
      if (event.kind === 'step') enter(event.state === 'begin' ? event.step : 'controls, positions')
    },
    begin: () => {
      statements = []
      times.clear()
      enter('controls, positions')
    },
    end: () => {
      enter('')
      const count = name => statements.filter(it => it.step === name).length
      return { statements, steps: new Map([...times].map(([name, ms]) => [name, { ms, statements: count(name) }])) }
    },
  }
}
