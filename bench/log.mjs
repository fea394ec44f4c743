// npm run bench -- log [--rounds 3] [--changes 1000000] [--rows 500000] [--one] [--memory 256MB] [--only naru]
//   [--profile folder] [--node-client] [--debezium] [--json]
// A backlog of changes in a slot of PostgreSQL: Naru's capture, and `naru run` of a project that follows the table (log, durable
// topic, image, past and place in one transaction), against the limit of the server, which is pg_recvlogical into nowhere.
// Every way runs as a process of its own, in turns, and drains a copy of the same slot. `--one` puts all changes into one
// transaction: what matters then is the memory. Debezium's embedded engine (`--debezium`) makes JSON and counts, and so does
// pg-logical-replication (`--node-client`) with objects: each once, and no more than counting, which flatters them.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createJiti } from 'jiti'
import pg from 'pg'
import { config, create, flights, transaction } from './log/source.mjs'
import { has, measure, median, printTable } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    changes: { type: 'string', default: '1000000' },
    rows: { type: 'string', default: '500000' },
    one: { type: 'boolean', default: false },
    'node-client': { type: 'boolean', default: false },
    debezium: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    memory: { type: 'string' },
    only: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [rounds, changes, rows] = [given.rounds, given.changes, given.rows].map(Number)
const root = join(import.meta.dirname, '..')
const parts = join(import.meta.dirname, 'log')
const folder = mkdtempSync(join(tmpdir(), 'naru-bench-'))
const skipped = []
const load = createJiti(import.meta.url)
const { startPostgres } = await load.import('../src/testing/servers/embedded-postgres.ts')
const { openForTest } = await load.import('../src/testing/open-adapter.ts')
const { postgres } = await load.import('../src/services/adapter/postgres/index.ts')

/** The slot and publication of the project; each way gets a copy of the slot as it was before the backlog. */
const slot = 'naru_ops'
const kept = 'kept'
const server = await startPostgres({ dir: join(folder, 'server'), settings: { fsync: 'off', max_wal_size: '4GB' } })
const client = new pg.Client(server.url)
const env = { ...process.env, URL: server.url }
try {
  await client.connect()
  note(`a table of ${rows.toLocaleString('en')} rows`)
  await client.query(create)
  await client.query(`insert into flight ${flights('1', String(rows))}`)
  const from = await prepareProject()
  const { to, made } = await writeBacklog()
  const ways = [limit(to), naru(made), capture(from, to, made), nodeClient(made), debezium(made)].filter(
    way => way !== null && (given.only === undefined || way.name.startsWith(given.only) || way.isLimit),
  )
  await report(ways, made)
} finally {
  await client.end()
  await server.remove()
  rmSync(folder, { recursive: true, force: true })
}

/** A project whose table is loaded and that follows the slot. */
async function prepareProject() {
  const project = join(folder, 'project')
  mkdirSync(join(project, 'node_modules'), { recursive: true })
  symlinkSync(root, join(project, 'node_modules', 'naru'))
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(project, 'naru.config.ts'), config(given.memory))
  await runNaru(project)
  const { rows: found } = await client.query('select slot_name from pg_replication_slots')
  if (found[0]?.slot_name !== slot) throw new Error(`the slot is not ${slot} but ${JSON.stringify(found)}`)
  const from = await head()
  await client.query('select pg_copy_logical_replication_slot($1, $2)', [slot, kept])
  return from
}

async function runNaru(project) {
  await measure(
    [[process.execPath, join(root, 'dist/cli/main.js'), 'run', '--config', join(project, 'naru.config.ts')]],
    {
      env,
    },
  )
}

/** Transactions of 1,000 changes with one of a tenth of all among them, or everything in one. */
async function writeBacklog() {
  note(`making ${changes.toLocaleString('en')} changes`)
  const large = given.one ? changes : Math.floor(changes / 10)
  const sizes = given.one ? [] : Array.from({ length: Math.floor((changes - large) / 1000) }, () => 1000)
  sizes.splice(Math.floor(sizes.length / 2), 0, large)
  let first = 0
  let made = 0
  for (const size of sizes) {
    await client.query('begin')
    const results = await client.query(transaction(first, size, rows))
    await client.query('commit')
    first += Math.ceil(size / 2)
    made += results.reduce((sum, { rowCount }) => sum + rowCount, 0)
  }
  return { to: await head(), made }
}

/** Where the source is now, as the adapter says it. */
async function head() {
  const url = { kind: 'secret', from: 'env', name: 'URL' }
  const adapter = await openForTest(postgres, { url, slot }, { URL: server.url })
  try {
    return await adapter.captures.log.head(new AbortController().signal)
  } finally {
    await adapter.close()
  }
}

/** A copy of the slot as it was before the backlog, in place of what the way before it left. */
async function freshSlot() {
  for (let attempt = 0; ; attempt++) {
    const { rows: found } = await client.query('select active from pg_replication_slots where slot_name = $1', [slot])
    if (found.length === 0) break
    if (!found[0].active) await client.query('select pg_drop_replication_slot($1)', [slot])
    else if (attempt > 200) throw new Error(`the slot ${slot} is still held`)
    else await new Promise(resolve => setTimeout(resolve, 50))
  }
  await client.query('select pg_copy_logical_replication_slot($1, $2)', [kept, slot])
}

function limit(to) {
  const lsn = to.split(':').at(-1)
  const options = ['proto_version=2', `publication_names=${slot}`, 'binary=true'].flatMap(it => ['-o', it])
  const args = ['-d', server.url, '-S', slot, '--start', '--endpos', lsn, '-f', '/dev/null', '--no-loop', ...options]
  if (!has('pg_recvlogical', '--version')) return skip('limit', 'pg_recvlogical is not installed')
  return { name: 'limit: pg_recvlogical', isLimit: true, commands: [['pg_recvlogical', ...args]] }
}

function naru() {
  const project = join(folder, 'project-naru')
  const flags = given.profile ? ['--cpu-prof', `--cpu-prof-dir=${given.profile}`] : []
  const command = [
    process.execPath,
    ...flags,
    join(root, 'dist/cli/main.js'),
    'run',
    '--config',
    join(project, 'naru.config.ts'),
  ]
  const before = () => {
    rmSync(project, { recursive: true, force: true })
    cpSync(join(folder, 'project'), project, { recursive: true, verbatimSymlinks: true })
  }
  return { name: 'naru', commands: [command], before, after: () => checkImage(project) }
}

/** The image is the table. */
async function checkImage(project) {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const db = await DuckDBInstance.create(join(project, 'bench.duckdb'))
  const connection = await db.connect()
  const sums = 'count(*)::text, sum(flight_id)::text, sum(delay)::text, sum(fare)::text'
  const read = await connection.runAndReadAll(`select ${sums} from staging.ops_flight`)
  connection.closeSync()
  db.closeSync()
  const wanted = await client.query({ text: `select ${sums} from flight`, rowMode: 'array' })
  const [a, b] = [JSON.stringify(read.getRows()[0]), JSON.stringify(wanted.rows[0])]
  if (a !== b) throw new Error(`the image is ${a}, the table ${b}`)
}

function capture(from, to, made) {
  const spill = join(folder, 'spill')
  mkdirSync(spill, { recursive: true })
  const command = [process.execPath, join(parts, 'capture.mjs'), server.url, from, to, spill, String(made)]
  return { name: 'naru, capture only', commands: [command] }
}

/** A client for Node, at a version of its own in the cache of the test systems. */
function nodeClient(made) {
  if (!given['node-client']) return skip('pg-logical-replication', 'asked for with --node-client')
  const way = { name: 'pg-logical-replication 2.5.0', once: true, commands: [] }
  way.before = async () => {
    const { needNpm } = await load.import('../test/servers/install.ts')
    const folder = needNpm('pg-logical-replication', '2.5.0')
    way.commands = [[process.execPath, join(parts, 'node-client.mjs'), folder, server.url, slot, String(made)]]
  }
  return way
}

async function jars() {
  const { needMaven } = await load.import('../test/servers/install.ts')
  return needMaven('debezium-3.0.8', readFileSync(join(parts, 'pom.xml'), 'utf8'))
}

function debezium(made) {
  if (!given.debezium) return skip('Debezium', 'asked for with --debezium')
  const classes = join(folder, 'classes')
  const url = new URL(server.url)
  const offsets = join(folder, 'offsets.dat')
  const way = { name: 'Debezium 3.0.8, embedded', once: true, commands: [] }
  way.before = async () => {
    rmSync(offsets, { force: true })
    const classpath = `${join(await jars(), '*')}:${classes}`
    const built = spawnSync('javac', ['-cp', classpath, '-d', classes, join(parts, 'Drain.java')], { encoding: 'utf8' })
    if (built.status !== 0) throw new Error(`javac: ${built.stderr}`)
    const args = [url.hostname, url.port, url.password, slot, slot, offsets, String(made)]
    way.commands = [['java', '-Xmx1g', '-cp', classpath, 'Drain', ...args]]
  }
  return way
}

async function report(ways, made) {
  const runs = new Map(ways.map(way => [way, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const way of ways.filter(it => round === 1 || !it.once)) {
      note(`round ${round} of ${rounds}: ${way.name}`)
      await freshSlot()
      await way.before?.()
      const run = await measure(way.commands, { env })
      await way.after?.()
      runs.get(way).push(run)
    }
  }
  const results = ways.map(way => resultOf(way, runs.get(way), made))
  const base = results.find(it => it.isLimit)?.seconds
  for (const it of results) it.ofLimit = base === undefined ? null : Number((it.seconds / base).toFixed(2))
  const goals = goalsOf(results)
  if (given.json) console.log(JSON.stringify({ bench: 'log', changes: made, rows, rounds, results, goals, skipped }))
  else print(results, made)
  if (!given.json) for (const it of goals) console.log(`${it.reached ? 'reached' : 'MISSED '}  ${it.name}: ${it.value}`)
  for (const it of skipped) note(`skipped  ${it.name}: ${it.why}`)
}

function goalsOf(results) {
  const own = results.find(it => it.name === 'naru')
  const counted = results.find(it => it.name === 'naru, capture only')
  const peer = results.find(it => it.name.startsWith('Debezium'))
  const goal = (name, value, reached) => ({ name, value: Number(value.toFixed(2)), reached })
  const goals = []
  if (own?.ofLimit) goals.push(goal('at most 1.3 times the limit', own.ofLimit, own.ofLimit <= 1.3))
  if (own && peer) {
    const [wall, cpu] = [peer.seconds / own.seconds, peer.cpu / own.cpu]
    goals.push(goal('Debezium takes at least 5 times as long', wall, wall >= 5))
    goals.push(goal('Debezium takes at least 10 times the processor', cpu, cpu >= 10))
  }
  if (counted && peer) {
    const [wall, cpu] = [peer.seconds / counted.seconds, peer.cpu / counted.cpu]
    goals.push(goal('of capture alone, which counts as Debezium does: 5 times as long', wall, wall >= 5))
    goals.push(goal('and 10 times the processor', cpu, cpu >= 10))
  }
  return goals
}

function resultOf(way, all, made) {
  const seconds = median(all.map(run => run.seconds))
  return {
    name: way.name,
    isLimit: way.isLimit === true,
    seconds: Number(seconds.toFixed(2)),
    cpu: Number(median(all.map(run => run.cpu)).toFixed(2)),
    changesPerSecond: Math.round(made / seconds),
    mb: Math.max(...all.map(run => run.mb)),
  }
}

function print(results, made) {
  const header = [
    `${made.toLocaleString('en')} changes, load ${loadavg()[0].toFixed(1)}`,
    'seconds',
    'of limit',
    'CPU s',
    'changes/s',
    'peak MB',
  ]
  printTable(
    header,
    results.map(it => [
      it.name,
      it.seconds.toFixed(2),
      it.ofLimit === null ? '' : it.ofLimit.toFixed(2),
      it.cpu.toFixed(2),
      it.changesPerSecond.toLocaleString('en'),
      String(it.mb),
    ]),
  )
}

function skip(name, why) {
  skipped.push({ name, why })
  return null
}

function note(text) {
  console.error(text)
}
