// Writes the pages that are made from tables in the code: docs/errors.md, docs/commands.md, docs/options.md and
// docs/types.md. `--check` only compares.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const built = name => import(pathToFileURL(join(root, 'dist', name)).href)

const { codes } = await built('core/codes.js')
const { commands } = await built('cli/commands.js')
const { page } = await built('cli/help.js')
const { adapters } = await built('app/registry.js')
const { engines } = await built('services/engine/registry.js')

/** Systems with a list of hard values: title, module, name of the list, and what stands above its table. */
const hardLists = [
  ['PostgreSQL', 'postgres', 'hardTypes'],
  ['SQLite', 'sqlite', 'hardTypes'],
  ['MySQL and MariaDB', 'mysql', 'hardTypes'],
  [
    'PostgreSQL through ODBC',
    'odbc',
    'postgresHardTypes',
    'What is not in this table is as in that of PostgreSQL above.',
  ],
  ['SQLite through ODBC', 'odbc', 'sqliteHardTypes'],
  ['MariaDB through ODBC', 'odbc', 'mariadbHardTypes'],
  [
    'Parquet',
    'files',
    'parquetHardTypes',
    'Written by pyarrow; nested values arrive as JSON. Decimals of more than 38 digits stop the file; of INT96 parts of a microsecond are cut, which is told.',
  ],
  ['Avro', 'files', 'avroHardTypes', 'Written by fastavro; nested values arrive as JSON.'],
  ['Cassandra', 'cassandra', 'hardTypes'],
  ['JSON over HTTP', 'http', 'hardTypes'],
  ['Redis', 'redis', 'hardTypes'],
]

const pages = {
  'docs/errors.md': errorsPage(),
  'docs/commands.md': commandsPage(),
  'docs/options.md': optionsPage(),
  'docs/engines.md': await enginesPage(),
  'docs/types.md': await typesPage(),
}
let stale = 0
for (const [name, text] of Object.entries(pages)) {
  const file = join(root, name)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  stale += 1
  if (process.argv.includes('--check'))
    process.stderr.write(`${name} is not what the code says: run \`npm run docs\`\n`)
  else writeFileSync(file, text)
}
if (process.argv.includes('--check') && stale > 0) process.exitCode = 1

/** The types of every system, from the lists that the tests put through it. */
async function typesPage() {
  const { typeText } = await built('core/types.js')
  const { duckdbDialect } = await built('systems/duckdb/dialect.js')
  const { postgresDialect } = await built('systems/postgres/dialect.js')
  const shown = value => {
    if (value === '') return 'empty'
    const short = value.length > 40 ? `${value.slice(0, 37)}…` : value
    return '`' + short.replaceAll('|', '\\|').replaceAll(/[\p{Cc}`]/gu, ' ') + '`'
  }
  const some = values => {
    const list = Array.isArray(values) ? values : Object.keys(values)
    const first = list.slice(0, 4).map(value => shown(String(Array.isArray(value) ? value[0] : value)))
    return list.length > 4 ? `${first.join(', ')} and ${list.length - 4} more` : first.join(', ')
  }
  const rowOf = ({ native, type, values, unfit = [] }) => {
    const engines = [duckdbDialect, postgresDialect].map(dialect => `\`${dialect.type(type)}\``)
    return `| \`${native.replaceAll('|', '\\|')}\` | ${typeText(type)} | ${engines.join(' | ')} | ${some(values)} | ${some(unfit)} |`
  }
  const parts = []
  const { hardTypes: nativePostgres } = await built('testing/postgres/hard-values.js')
  for (const [title, module, list, above] of hardLists) {
    const { [list]: all } = await built(`testing/${module}/hard-values.js`)
    const rows = all === nativePostgres ? all : all.filter(row => !nativePostgres.includes(row))
    const head =
      '| type there | in Naru | in DuckDB | in PostgreSQL | values that arrive exactly | set aside as rejects |\n|---|---|---|---|---|---|'
    parts.push(`## ${title}\n\n${above === undefined ? '' : `${above}\n\n`}${head}\n${rows.map(rowOf).join('\n')}\n`)
  }
  return `# Types\n\nWhat becomes of every type of every system, in Naru and in each engine. A value arrives exactly or is set aside as a reject with its\nreason; nothing is rounded or cut. The tests put each value shown here through the real system and compare it with what the system itself\nprints. Text files (CSV, JSON lines, fixed width) are staged as text, as [files](guide/files.md) says. A value over \`maxValueBytes\`, 64 MiB unless\ngiven, is set aside too. This page is made from their lists, \`src/testing/*/hard-values.ts\`, by \`npm run docs\`.\n\n${parts.join('\n')}`
}

function errorsPage() {
  // Each text is called with placeholders instead of values, so the page shows where values stand.
  const placeholders = new Proxy({}, { get: (_, name) => placeholder(`<${String(name)}>`) })
  const rows = Object.entries(codes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, entry]) => {
      const fix = typeof entry.fix === 'function' ? entry.fix(placeholders) : entry.fix
      const retry = entry.retry === 'later' ? 'may pass by itself' : 'needs a change'
      return `## ${code}\n\n${entry.text(placeholders)}\n\n*What to do:* ${fix}\n\nExit status ${entry.exit ?? 1}; ${retry}.\n`
    })
  return `# Errors\n\nEvery error that Naru can end with. The code is stable; the text holds the values of the case, shown here as \`<names>\`.\nThis page is made from \`src/core/codes.ts\` by \`npm run docs\`.\n\n${rows.join('\n')}`
    .replaceAll(/<(\w+)>/g, '`<$1>`')
    .replaceAll('``', '`')
}

function commandsPage() {
  const rows = commands.map(command => `## naru ${command.name}\n\n\`\`\`\n${page(command)}\n\`\`\`\n`)
  return `# Commands\n\nThe help of every command. This page is made from \`src/cli/commands.ts\` by \`npm run docs\`.\n\n${rows.join('\n')}`
}

/** Every promise is executed on every engine by a test, which fails where one is not kept. */
async function enginesPage() {
  const { enginePromises } = await built('services/engine/conformance.js')
  const { promiseGroups } = await built('services/engine/conformance-support.js')
  const kinds = Object.keys(engines)
  const modules = await Promise.all(Object.values(engines).map(engine => engine.open()))
  const row = ({ name }) => `| ${name.replaceAll('|', '\\|')} | ${kinds.map(() => 'yes').join(' | ')} |`
  const part = group => {
    const rows = enginePromises.filter(promise => promise.group === group).map(row)
    return `## ${group}\n\n| promise | ${kinds.join(' | ')} |\n|---|${kinds.map(() => '---|').join('')}\n${rows.join('\n')}\n`
  }
  const losses = modules.map(
    ({ can }, i) =>
      `- **${kinds[i]}**: ${can.losses.length === 0 ? 'every value of the column types' : `all but ${can.losses.join('; ')}`}.`,
  )
  const limits = modules.map(({ dialect }, i) => {
    const columns = dialect.columnsMax === undefined ? '' : `, tables of up to ${dialect.columnsMax} columns`
    return `- **${kinds[i]}**: names of up to ${dialect.identBytesMax} bytes${columns}.`
  })
  return `# Engines\n\nWhat each engine promises. Every row is executed on every engine by the tests, with the same values: an engine that does not\npass is none. Beside these, generated values are given to all engines and must come out the same. What an engine cannot do of a project is\nan error of \`naru check\`. This page is made from \`src/services/engine/conformance.ts\` by \`npm run docs\`.\n\n## Values that they hold\n\n${losses.join('\n')}\n\nA row with a value that an engine does not hold becomes a reject, with column and reason; the rest loads. Nothing is replaced.\n\n## Names and columns\n\n${limits.join('\n')}\n\n## What is not the same\n\n- Numbers of different values in profiles are estimates on duckdb and exact on postgres; large tables are sampled by the hash of each engine.\n- Means and deviations in profiles may differ in the last digit.\n- Bytes as text in quarantine and corrections; the other case of letters newer than Unicode 15.\n- What a pattern replaces: postgres takes no alternatives, lazy repetitions, repeated groups and empty matches.\n\n${promiseGroups.map(part).join('\n')}`
}

function optionsPage() {
  const part = (title, known) => `## ${title}\n\n${Object.values(known).map(implementationPart).join('\n')}`
  return `# Options\n\nThe options of every adapter and engine. How they are written in a config is in [the config](guide/config.md#sources).\nThis page is made from the option tables, \`src/services/*/*/index.ts\`, by \`npm run docs\`.\n\n${part('Adapters', adapters)}\n${part('Engines', engines)}`
}

function implementationPart({ kind, summary, options }) {
  const rows = Object.entries(options).map(
    ([name, row]) => `| \`${name}\` | ${typeOf(row)} | ${givenOf(row)} | ${row.description.replaceAll('|', '\\|')} |`,
  )
  return `### ${kind}\n\n${summary}\n\n| option | type | unless given | |\n|---|---|---|---|\n${rows.join('\n')}\n`
}

function typeOf({ kind, choices, min, max }) {
  const types = {
    text: 'text',
    int: 'whole number',
    flag: '`true` or `false`',
    choice: (choices ?? []).map(choice => `\`'${choice}'\``).join(', '),
    duration: "duration, such as `'30s'`",
    data: 'what the builder is given',
    secret: "secret: `env('NAME')` or `file('path')`",
  }
  const bounds = [...(min === undefined ? [] : [`from ${min}`]), ...(max === undefined ? [] : [`to ${max}`])]
  return [types[kind], ...bounds].join(' ')
}

function givenOf({ required, default: value }) {
  if (required) return 'must be given'
  if (value === undefined) return ''
  if (typeof value === 'object') return ''
  return typeof value === 'string' ? `\`'${value}'\`` : `\`${value}\``
}

/** Stands for a text or for a list of texts. */
function placeholder(text) {
  const list = { join: () => text, map: () => list, slice: () => list, toString: () => text, toJSON: () => text }
  return list
}
