import type { ColumnBatch } from '../../../core/batch.ts'
import type { Env } from '../../../core/env.ts'
import { ident, joinSql, sql, type Sql } from '../../../core/sql.ts'
import { bufferPool } from '../../../core/buffer-pool.ts'
import type { ControlTotals } from '../contract.ts'
import type { StagedUnit, TableWriter, WriteTarget, Written } from '../contract-writes.ts'
import { planCall } from './call.ts'
import { Connection, type TextRow } from './connection.ts'
import { applyStage, moveSequences, type PublishSession } from './publish.ts'
import {
  dropAbandoned,
  dropStage,
  markPublished,
  openStage,
  readState,
  stageOf,
  type Stage,
  type StageState,
} from './stage.ts'
import { piecesOf } from './staged-pieces.ts'
import type { Target } from './target.ts'
import { readTotals } from './totals.ts'
import { findUnfit, valueError } from './unfit.ts'
import { isDoubtful, type WriteColumn } from './write-fit.ts'
import { copyPlace, isValueError, writeError } from './write-errors.ts'
import {
  createTarget,
  newColumns,
  orderText,
  planWrite,
  refused,
  shapeText,
  type WriteOrder,
  type WritePlan,
} from './write-plan.ts'

/** Longest work of one statement over a whole stage: a server that hangs is noticed in the end. */
const STAGE_MS_MAX = 24 * 3_600_000

/** What is known of a write once its stage is open. */
interface Opened {
  readonly order: WriteOrder
  readonly plan: WritePlan | null
  /** The columns of the target, or of the one that will be made. */
  readonly columns: readonly WriteColumn[]
  readonly stage: Stage
  readonly state: StageState
}

/** One write: a connection, a stage, and a target that is touched by `publish` only. */
export class PostgresWriter implements TableWriter {
  readonly #target: Target
  readonly #connection: Connection
  readonly #opened: Opened
  readonly #pool = bufferPool()
  #staged: readonly StagedUnit[]
  #published: Written | null

  private constructor(target: Target, connection: Connection, opened: Opened) {
    this.#target = target
    this.#connection = connection
    this.#opened = opened
    this.#staged = opened.state.staged
    this.#published = opened.state.published
  }

  static async open(env: Env, target: Target, write: WriteTarget, signal: AbortSignal): Promise<PostgresWriter> {
    const order = { ...write, system: target.source }
    checkOrder(order)
    let connection: Connection | null = null
    try {
      connection = await Connection.open(env, target, 'write', signal)
      return new PostgresWriter(target, connection, await openWrite(connection, order, signal))
    } catch (error) {
      connection?.destroy()
      throw writeError(error, target, order.remote)
    }
  }

  get staged(): readonly StagedUnit[] {
    return this.#staged
  }

  get published(): Written | null {
    return this.#published
  }

  async stage(unit: string, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<StagedUnit> {
    const { stage } = this.#opened
    const rows = await this.#inTransaction(signal, async () => {
      const place = await this.#beginUnit(unit, signal)
      const copied = await this.#copy(unit, place, batches, signal)
      await findUnfit(this.#connection, { ...this.#opened, unit, place, rows: copied, signal })
      await this.#connection.query(
        sql`insert into ${stage.units} (place, unit, rows) values (${place}, ${unit}, ${copied})`,
        signal,
      )
      return copied
    })
    this.#staged = [...this.#staged.filter(it => it.unit !== unit), { unit, rows }]
    return { unit, rows }
  }

  async totals(
    options: { readonly hash: boolean; readonly units?: readonly string[] },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    const { order, stage } = this.#opened
    const { units } = options
    const places = sql`select place from ${stage.units} where unit in (${joinSql((units ?? []).map(unit => sql`${unit}`))})`
    const isNone = units?.length === 0
    const ofUnits = isNone ? sql`false` : sql`${ident('t', stage.unitColumn.name)} in (${places})`
    const condition = units === undefined ? sql`true` : ofUnits
    const of = { columns: order.columns, encoding: this.#connection.encoding, hash: options.hash }
    return this.#inTransaction(signal, () =>
      readTotals(of, async list => {
        const rows = sql`select ${list} from ${stage.rows} t where ${condition}`
        return (await this.#connection.query(rows, signal, STAGE_MS_MAX))[0] as TextRow
      }),
    )
  }

  async publish(options: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written> {
    const { order, stage } = this.#opened
    this.#published = await this.#inTransaction(signal, async () => {
      // Two publishes of one id come one after the other, and the second finds the mark of the first.
      await this.#connection.query(sql`lock table ${stage.units} in exclusive mode`, signal)
      const { published } = await readState(this.#connection, stage, signal)
      if (published !== null) return published
      const session = await this.#session(signal)
      const written = await applyStage(session, options.missed)
      if (!['delete', 'update', 'call'].includes(order.mode)) await moveSequences(session)
      await markPublished(this.#connection, stage, written, signal)
      return written
    })
    return this.#published
  }

  async discard(signal: AbortSignal): Promise<void> {
    await this.#inTransaction(signal, () => dropStage(this.#connection, this.#opened.stage, signal))
    this.#staged = []
    this.#published = null
  }

  async removeAbandoned(untouchedMs: number, signal: AbortSignal): Promise<number> {
    try {
      return await dropAbandoned(this.#connection, { own: this.#opened.stage, untouchedMs, signal })
    } catch (error) {
      throw writeError(error, this.#target, this.#opened.order.remote)
    }
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  /** Removes what an earlier try left of the unit; gives the number that its rows are marked with. */
  async #beginUnit(unit: string, signal: AbortSignal): Promise<number> {
    const { stage } = this.#opened
    await this.#connection.query(sql`lock table ${stage.units} in exclusive mode`, signal)
    const gone = await this.#connection.query(
      sql`delete from ${stage.units} where unit = ${unit} returning place`,
      signal,
    )
    for (const [place] of gone) {
      await this.#execute(
        sql`delete from ${stage.rows} where ${ident(stage.unitColumn.name)} = ${Number(place)}`,
        signal,
      )
    }
    const [last] = await this.#connection.query(sql`select max(place) + 1 from ${stage.units}`, signal)
    await this.#connection.query(sql`update ${stage.units} set touched = now() where unit is null`, signal)
    return Number(last?.[0])
  }

  async #copy(unit: string, place: number, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<bigint> {
    const { order, stage } = this.#opened
    const columns = [...order.columns, stage.unitColumn]
    const statement = sql`copy ${stage.rows} (${joinSql(columns.map(({ name }) => ident(name)))}) from stdin (format binary)`
    const pieces = piecesOf(batches, { order, stage, unit, place, pool: this.#pool })
    try {
      return await this.#connection.copyIn(statement, pieces, signal, piece =>
        this.#pool.give([piece.buffer as ArrayBuffer]),
      )
    } catch (error) {
      const at = isValueError(error) ? copyPlace(error) : null
      const column = order.columns.findLast(({ name }) => at?.column.startsWith(name))
      if (at === null || column === undefined) throw error
      throw valueError(order, column.name, `row ${at.line} of unit "${unit}"`, (error as Error).message)
    }
  }

  /** What the publish works with: the target as it is now, made when it is not there. */
  async #session(signal: AbortSignal): Promise<PublishSession> {
    const { order, plan: before, stage } = this.#opened
    let { place, plan } = await planOf(this.#connection, order, signal)
    if (plan === null) {
      await this.#connection.query(createTarget(order, place), signal)
      plan = (await planWrite(this.#connection, order, signal)).plan as WritePlan
    } else if (before === null ? plan.columns.some(it => it.isChecked) : shapeText(plan) !== shapeText(before)) {
      throw refused(order, 'its columns have changed since the first row was staged')
    }
    // Last: types are told apart by the names that they have without.
    await this.#connection.useOwnNames(signal)
    return {
      order,
      plan,
      stage,
      query: statement => this.#connection.query(statement, signal, STAGE_MS_MAX),
      execute: statement => this.#execute(statement, signal),
    }
  }

  #execute(statement: Sql, signal: AbortSignal): Promise<bigint> {
    return this.#connection.execute(statement, signal, STAGE_MS_MAX)
  }

  /** Work over a whole stage may take longer than one statement may; the client watches it instead of the server. */
  async #inTransaction<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    try {
      await this.#connection.query(sql`begin`, signal)
      await this.#connection.query(sql`set local statement_timeout = 0`, signal)
      const result = await body()
      await this.#connection.query(sql`commit`, signal)
      return result
    } catch (error) {
      await this.#connection.rollback()
      throw writeError(error, this.#target, this.#opened.order.remote)
    }
  }
}

function checkOrder({ id, system, remote }: WriteOrder): void {
  if (/^[A-Za-z0-9_]{1,32}$/.test(id)) return
  throw refused({ system, remote }, `its id "${id}" is not at most 32 letters, digits and _`)
}

function planOf(connection: Connection, order: WriteOrder, signal: AbortSignal): ReturnType<typeof planWrite> {
  return order.mode === 'call' ? planCall(connection, order, signal) : planWrite(connection, order, signal)
}

async function openWrite(connection: Connection, order: WriteOrder, signal: AbortSignal): Promise<Opened> {
  const { place, plan } = await planOf(connection, order, signal)
  const stage = stageOf(order, place)
  const columns = plan?.columns ?? newColumns(order)
  // The units of a stage are looked at one by one only where the target does not hold all values.
  const isIndexed = columns.some(isDoubtful)
  const shape = `${orderText(order)} ${shapeText(plan)}`
  await connection.query(sql`begin`, signal)
  const state = await openStage(connection, order, stage, { shape, isIndexed, signal })
  await connection.query(sql`commit`, signal)
  return { order, plan, columns, stage, state }
}
