// A Python virtual environment with dlt in the cache folder, made once.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { has } from '../measure.mjs'

const packages = ['dlt[duckdb,sql_database]==1.31.0', 'sqlalchemy', 'psycopg2-binary', 'pyarrow']

/** The interpreter to run, or `null` after `skipped` was told why there is none. */
export function pythonWithDlt(skipped) {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'naru-bench')
  const venv = join(cache, 'dlt-1.31.0')
  const python = join(venv, 'bin', 'python')
  if (existsSync(python) && has(python, '-c', 'import dlt, duckdb, psycopg2, pyarrow, sqlalchemy')) return python
  if (!has('python3', '--version')) return no('there is no python3')
  console.error('installing dlt into a virtual environment')
  mkdirSync(cache, { recursive: true })
  const made = [
    ['python3', '-m', 'venv', venv],
    [python, '-m', 'pip', 'install', '--quiet', ...packages],
  ]
  for (const [program, ...args] of made) {
    const done = spawnSync(program, args, { encoding: 'utf8' })
    if (done.status !== 0) return no(`${args[1]} failed: ${String(done.stderr).trim().split('\n').at(-1)}`)
  }
  return python

  function no(why) {
    skipped(why)
    return null
  }
}
