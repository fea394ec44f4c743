import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { openEngine, type OpenProject } from '../../src/app/project.ts'
import { runProject, type RunOutcome } from '../../src/app/run-project.ts'
import type { Project } from '../../src/config/model.ts'
import { realEnv, type Env } from '../../src/core/env.ts'
import type { RunEvent } from '../../src/core/events.ts'
import { Secret } from '../../src/core/secret.ts'
import { rawSql } from '../../src/core/sql.ts'
import type { Row } from '../../src/services/engine/contract.ts'
import { never } from '../../src/testing/engine.ts'
import { placeIn } from './place.ts'

/** A project over a source with the table `visit`, which has no key; staged as `shop_visit`. */
export interface LogProject {
  readonly open: OpenProject
  readonly events: RunEvent[]
  run(): Promise<RunOutcome>
  rows(query: string): Promise<readonly Row[]>
  /** The next time that one comes to this point, it ends there. */
  killAt(point: string): void
  /** The same folder with another configuration. */
  with(project: Project): LogProject
}

export async function logProject(project: Project, url: string): Promise<LogProject> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'naru-append-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return projectIn(folder, project, url)
}

function projectIn(folder: string, project: Project, url: string): LogProject {
  const events: RunEvent[] = []
  const real = realEnv()
  let killed: string | null = null
  const env: Env = {
    ...real,
    crash: point => {
      if (point !== killed) return
      killed = null
      throw new Error(`killed at ${point}`)
    },
  }
  const open: OpenProject = {
    project,
    ...placeIn(folder, env),
    secret: () => new Secret(url),
  }
  const emit = (event: RunEvent): void => void events.push(event)
  return {
    open,
    events,
    killAt: point => void (killed = point),
    run: () => runProject(open, { selectors: [], hashControls: true, emit, signal: never }),
    rows: async query => {
      const engine = await openEngine(open, 'read')
      try {
        return await engine.transaction(never, tx => tx.rows(rawSql(query)))
      } finally {
        await engine.close()
      }
    },
    with: other => projectIn(folder, other, url),
  }
}

const weight = `case when log_op in ('read', 'insert', 'after') then 1 else -1 end`

/**
 * The law of an append log: rows that came less rows that went, behind the last truncate, are the rows of the source, each
 * as often as it is there. `source`: the texts of its rows, as `moment|what`.
 */
export async function expectLaw(it: LogProject, source: readonly string[]): Promise<void> {
  const rows = await it.rows(`
    with behind as (
      select * from staging.shop_visit v where log_op <> 'truncate' and not exists (
        select 1 from staging.shop_visit t where t.log_op = 'truncate' and (t.log_load, t.log_line) > (v.log_load, v.log_line)))
    select coalesce(cast(moment as varchar), '-') || '|' || coalesce(what, '-') as row, sum(${weight})::integer as n
    from behind group by all having sum(${weight}) <> 0`)
  const times = new Map<string, number>()
  for (const row of source) times.set(row, (times.get(row) ?? 0) + 1)
  expect(Object.fromEntries(rows.map(({ row, n }) => [row, n]))).toEqual(Object.fromEntries(times))
}

/** How often each thing happened, by the log. */
export async function happened(it: LogProject): Promise<Readonly<Record<string, number>>> {
  const rows = await it.rows('select log_op as op, count(*)::integer as n from staging.shop_visit group by all')
  return Object.fromEntries(rows.map(({ op, n }) => [op, n])) as Readonly<Record<string, number>>
}
