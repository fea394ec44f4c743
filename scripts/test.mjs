// npm test: lint, types of the tests, format, then every test that needs only npm. With --systems: the tests against
// real systems, which it installs. Ends with a plain line: "N passed, N failed". What the tests leave in the temporary
// folder is removed, unless --keep is given.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeTemporary, removeTemporary, temporaryVariables } from './temporary.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name, file) => join(root, 'node_modules', name, file)
const systems = process.argv.includes('--systems')
const keep = process.argv.includes('--keep')
const names = process.argv.slice(2).filter(name => name !== '--systems' && name !== '--keep')
let passed = 0
let failed = 0

if (names.length === 0 && !systems) {
  check('lint', [bin('oxlint', 'bin/oxlint')])
  check('promises', [bin('oxlint', 'bin/oxlint'), '--config', '.oxlintrc.promises.json'])
  check('types', [bin('typescript', 'bin/tsc'), '--project', 'tsconfig.test.json'])
  check('format', [bin('oxfmt', 'bin/oxfmt'), '--check'])
}
await vitest()
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1

function check(what, command) {
  const done = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' })
  if (done.status === 0) passed += 1
  else {
    failed += 1
    process.stdout.write(`${what} failed\n`)
  }
}

function say(file, test, why) {
  const first = String(why ?? '')
    .split('\n')
    .slice(0, 3)
    .join(' ')
    .slice(0, 600)
  process.stdout.write(`not passed: ${relative(root, file)} ${test}: ${first}\n`)
}

/** The status of a command; a signal to us is one to it, so that we live to remove what it leaves. */
function run(args, env) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  return new Promise(resolve => child.once('close', resolve))
}

async function vitest() {
  const folder = makeTemporary()
  const report = join(folder, 'report.json')
  const config = systems ? 'vitest.systems.config.ts' : 'vitest.config.ts'
  const args = [
    'run',
    '--config',
    config,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...names,
  ]
  const status = await run([bin('vitest', 'vitest.mjs'), ...args], temporaryVariables(folder))
  if (existsSync(report)) {
    const { numPassedTests, numFailedTests, numFailedTestSuites, numPendingTests, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    )
    // Once more at the end, by name: the log of a run is long. What could not begin skips its tests.
    for (const { name, assertionResults, status, message } of testResults) {
      const isBroken = status === 'failed' && assertionResults.every(it => it.status !== 'failed')
      if (isBroken) say(name, '', message)
      for (const test of isBroken ? [] : assertionResults.filter(it => it.status !== 'passed')) {
        say(name, test.fullName, test.failureMessages?.[0] ?? `is ${test.status}`)
      }
    }
    passed += numPassedTests
    // A suite that could not be loaded has no failed test of its own; a skipped test proves nothing.
    failed += Math.max(numFailedTests, numFailedTestSuites > 0 && numFailedTests === 0 ? 1 : 0) + numPendingTests
  }
  if (status !== 0 && failed === 0) failed += 1
  if (keep) process.stdout.write(`what the tests left is in ${folder}\n`)
  else removeTemporary(folder)
}
