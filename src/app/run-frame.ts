import { fail, isNaruError, messageOf, type Code } from '../core/errors.ts'
import { knownError } from '../core/known-error.ts'
import { ident, sql } from '../core/sql.ts'
import type { InterfaceContext } from '../etl/interface/index.ts'
import { engineTotals } from '../etl/staging/index.ts'
import { comparisonTable } from '../run/comparisons.ts'
import type { RunContext } from '../run/context.ts'
import { controlTables as loadTables } from '../run/control-tables.ts'
import { beginRun, ensureControlTables, failRun, runTables } from '../run/journal.ts'
import { abandonAccepted } from '../run/loads.ts'
import { streamTables } from '../run/streams.ts'
import { schemas } from '../run/tables.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import type { OpenProject } from './project.ts'
import { stageControlTable } from './reconcile.ts'
import { keepEvidence, lookupIndexes, stageTables } from './tasks.ts'
import { techniques } from './techniques.ts'

/** Begins a run: what all of its stages share. */
export async function begin(
  open: OpenProject,
  engine: Engine,
  { signal, emit, isLive = false }: Pick<RunContext, 'signal' | 'emit'> & { readonly isLive?: boolean },
): Promise<RunContext> {
  const { env } = open
  await engine.transaction(signal, tx => prepare(tx, engine))
  env.crash('run.begin.before')
  const began = { nowMicros: env.clock.nowMicros(), host: env.processes.host, pid: env.processes.pid, isLive }
  const run = await engine.transaction(signal, tx => beginRun(tx, began))
  env.crash('run.begin.after')
  return { env, project: open.project, run, signal, emit, secret: open.secret }
}

/** Creates schemas and control tables that are not there yet. */
export async function prepare(tx: Transaction, { can }: Pick<Engine, 'can'>): Promise<void> {
  for (const name of schemas) await tx.execute(sql`create schema if not exists ${ident(name)}`)
  const indexes = can.indexes ? lookupIndexes : []
  await ensureControlTables(tx, [
    ...runTables,
    ...loadTables,
    ...streamTables,
    ...stageTables,
    stageControlTable,
    comparisonTable,
    ...indexes,
  ])
}

/** What the interface stage is given in a run. */
export function interfaceOf(engine: Engine, shared: RunContext, hashControls: boolean): InterfaceContext {
  return {
    ...shared,
    commit: body => engine.transaction(shared.signal, body),
    techniques,
    hashControls,
    engineTotals,
  }
}

/** Wherever an end from outside hit the run, a person reads the same. A failure that came just before it is told. */
export function cancelled(run: bigint, error: unknown): unknown {
  if (isNaruError(error) && error.code !== 'CANCELLED') return error
  return fail('CANCELLED', { what: `run ${run}` }, { cause: error })
}

/** What was read is refused: it would be refused again, so the next run reads the sources anew, where it may be corrected. */
const refusals: readonly Code[] = ['REJECT_LIMIT', 'DIMENSION_EMPTIED']

/** After a failure nothing of the run is visible; why it failed is kept. */
export async function recordFailure(engine: Engine, shared: RunContext, error: unknown): Promise<void> {
  const { code, message } = knownError(error)
  const failure = { nowMicros: shared.env.clock.nowMicros(), code, text: message }
  try {
    await engine.transaction(new AbortController().signal, async tx => {
      await failRun(tx, shared.run, failure)
      await keepEvidence({ ...shared, tx }, error)
      if (isNaruError(error) && refusals.includes(error.code)) await abandonAccepted(tx)
    })
  } catch (second) {
    const text = `the failure of run ${shared.run.id} could not be recorded: ${messageOf(second)}`
    shared.emit({ kind: 'note', level: 'warn', text, code: 'RUN_NOT_RECORDED' })
  }
}
