// npm run bench -- csv [--mb 1000] [--rounds 3] [--json]: a CSV file of 16 columns into a native table of text. Naru's
// reader, with every line proven and numbered, against DuckDB's own read_csv (all_varchar, its default threads), which
// does neither. Every way runs as a process of its own, in turns.
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measure, median, printTable } from './measure.mjs'

const { values: given } = parseArgs({
  options: {
    mb: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'naru-bench-'))
try {
  const file = join(folder, 'big.csv')
  const rows = makeFile(file, Number(given.mb) * 1e6)
  const way = (name, how) => ({ name, how, runs: [] })
  const ways = [way('read_csv, all_varchar', 'duckdb'), way('naru', 'naru')]
  for (let round = 1; round <= Number(given.rounds); round += 1) {
    console.error(`round ${round} of ${given.rounds}`)
    for (const { how, runs } of ways) runs.push(await run(how, file, rows))
  }
  report(ways, statSync(file).size, rows)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** Lines as a partner's export has them: numbers, codes, dates, some text, an empty column. The same for each run. */
function makeFile(file, bytes) {
  const handle = openSync(file, 'w')
  let seed = 12_345
  const next = () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff)
  const two = number => String(number).padStart(2, '0')
  writeSync(handle, `${Array.from({ length: 16 }, (_, i) => `c${i}`).join(',')}\n`)
  let rows = 0
  for (let written = 0; written < bytes;) {
    let text = ''
    for (let i = 0; i < 5000; i += 1) {
      const [a, b, c] = [next() >> 8, next() >> 8, next() >> 8]
      rows += 1
      text += `${rows},${a},${b % 1000},${c % 7},${(a % 100_000) / 100},2026-${two(1 + (a % 12))}-${two(1 + (b % 28))},carrier${a % 20},AIR${b % 400},AIR${c % 400},${b % 3600},${['on time', 'late', 'cancelled'][c % 3]},N${a % 100_000},,remark number ${b % 50_000} for it,${c % 2 === 0},${a % 90}.${b % 1_000_000}\n`
    }
    written += writeSync(handle, text)
  }
  closeSync(handle)
  return rows
}

async function run(how, file, rows) {
  const target = join(folder, `${how}.duckdb`)
  rmSync(join(folder, '.naru'), { recursive: true, force: true })
  const measured = await measure([
    [process.execPath, join(import.meta.dirname, 'csv', 'read.mjs'), how, file, target, String(rows)],
  ])
  for (const name of [target, `${target}.wal`]) rmSync(name, { force: true })
  return measured
}

function report(ways, bytes, rows) {
  const seconds = ({ runs }) => median(runs.map(run => run.seconds))
  const base = seconds(ways[0])
  const table = ways.map(way => [
    way.name,
    seconds(way).toFixed(2),
    (bytes / 1e6 / seconds(way)).toFixed(0),
    String(Math.max(...way.runs.map(run => run.mb))),
    (base / seconds(way)).toFixed(2),
  ])
  printTable(
    [`${(bytes / 1e6).toFixed(0)} MB, ${rows.toLocaleString('en')} rows`, 'seconds', 'MB/s', 'peak MB', 'speed'],
    table,
  )
  const reached = base / seconds(ways[1])
  console.log(`${reached >= 0.9 ? 'reached' : 'MISSED '}  at least 0.9 of the speed of read_csv: ${reached.toFixed(2)}`)
  if (given.json) console.log(JSON.stringify({ bench: 'csv', bytes, rows, ways }))
}
