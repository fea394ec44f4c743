import type { ColumnBatch } from '../../../core/batch.ts'
import { sha256 } from '../../../core/env.ts'
import { fail, isNaruError, messageOf } from '../../../core/errors.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText } from '../../../core/types.ts'
import type { ControlTotals } from '../contract.ts'
import type { StagedUnit, TableWriter, WriteTarget, Written } from '../contract-writes.ts'
import { writtenOf, writtenText } from '../written.ts'
import { columnOf } from './catalog.ts'
import { OdbcFailure, sourceError } from './errors.ts'
import { applyStage, isTakenError, refuseTakenKeys } from './publish.ts'
import type { Session } from './session.ts'
import { insertRows } from './stage.ts'
import { withoutSecrets } from './target.ts'
import { totalsList, totalsOf, type NamedColumn } from './totals.ts'
import type { WriteFacts } from './write-facts.ts'
import {
  createStage,
  createUnits,
  findTarget,
  idOfUnits,
  isStage,
  stageNames,
  stagedTypes,
  type Found,
  type FoundColumn,
  type StageNames,
} from './write-target.ts'

/** Numbers of the rows that are no units: what the stage is for, and what a publish did. */
const ABOUT = 0
const MARK = -1
/** Errors that are the same whether a table is read or written. */
const AS_READ: ReadonlySet<string> = new Set([
  'SOURCE_UNREACHABLE',
  'SOURCE_LOGIN',
  'SOURCE_DENIED',
  'CANCELLED',
  'ODBC_DRIVER_CRASHED',
])

/**
 * One write, staged in two tables beside its target: `_naru_<id>` has the rows, `_naru_<id>_units` the units and, once it
 * was published, what that did. Every unit and the publish are one transaction each.
 */
export class OdbcWriter implements TableWriter {
  readonly #session: Session
  readonly #facts: WriteFacts
  readonly #wanted: WriteTarget
  readonly #found: Found
  readonly #names: StageNames
  readonly #statementBytes: number
  readonly #units = new Map<string, { readonly number: number; readonly rows: bigint }>()
  #published: Written | null = null

  private constructor(session: Session, facts: WriteFacts, wanted: WriteTarget, found: Found, statementBytes: number) {
    this.#session = session
    this.#facts = facts
    this.#wanted = wanted
    this.#found = found
    this.#names = stageNames(found, wanted.id)
    this.#statementBytes = statementBytes
  }

  /** Takes the session over, also when it throws. */
  static async open(
    session: Session,
    facts: WriteFacts,
    wanted: WriteTarget,
    signal: AbortSignal,
  ): Promise<OdbcWriter> {
    try {
      const found = await findTarget(session, facts, wanted, signal)
      const limit = facts.statementBytes
      const [row] = limit === null ? [] : await session.query(rawSql(limit), null, signal)
      const writer = new OdbcWriter(session, facts, wanted, found, Number(row?.[0] ?? Infinity))
      await writer.#openStage(signal)
      return writer
    } catch (error) {
      await session.connection.close()
      throw writeError(error, session, wanted.remote)
    }
  }

  get staged(): readonly StagedUnit[] {
    return [...this.#units].map(([unit, { rows }]) => ({ unit, rows }))
  }

  get published(): Written | null {
    return this.#published
  }

  async stage(unit: string, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<StagedUnit> {
    const known = this.#units.get(unit)
    const number = known?.number ?? Math.max(ABOUT, ...[...this.#units.values()].map(it => it.number)) + 1
    const { units, rows: table } = this.#names
    const rows = await this.#transaction(signal, async () => {
      if (known !== undefined) {
        await this.#run(sql`delete from ${table} where _unit = ${number}`, signal)
        await this.#run(sql`delete from ${units} where unit = ${number}`, signal)
      }
      const into = { session: this.#session, names: this.#names, found: this.#found }
      const about = { table: this.#wanted.remote, wanted: this.#wanted.columns, statementBytes: this.#statementBytes }
      const count = await insertRows({ ...into, ...about }, { name: unit, number }, batches, signal)
      await this.#note(number, unit, count, signal)
      return BigInt(count)
    })
    this.#units.set(unit, { number, rows })
    return { unit, rows }
  }

  async totals(
    { hash, units }: { readonly hash: boolean; readonly units?: readonly string[] },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    const { totals } = this.#session.facts
    const columns = this.#wanted.columns.map(({ name, type }, i): NamedColumn => {
      const { native, takesNull } = this.#found.columns[i] as FoundColumn
      return { column: { name, type, nativeType: native, nullable: takesNull }, value: columnOf(`c${i}`) }
    })
    const numbers = (units ?? []).map(unit => sql`${this.#units.get(unit)?.number ?? MARK}`)
    const where = units === undefined ? sql`` : sql` where _unit in (${joinSql([sql`${MARK}`, ...numbers])})`
    const list = totalsList(columns, totals, hash)
    const statement = sql`select ${list} from ${this.#names.rows} t${where}`
    return this.#transaction(signal, async () => {
      const [row] = await this.#session.query(statement, this.#wanted.remote, signal)
      return totalsOf(row ?? [], columns, totals)
    })
  }

  async publish({ missed }: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written> {
    if (this.#published !== null) return this.#published
    const wanted = this.#wanted
    const staged = {
      session: this.#session,
      facts: this.#facts,
      found: this.#found,
      wanted,
      names: this.#names,
      signal,
    }
    try {
      this.#published = await this.#transaction(signal, async () => {
        const written = await applyStage(staged, missed)
        await this.#note(MARK, writtenText(written), 0, signal)
        return written
      })
      return this.#published
    } catch (error) {
      // What a unique constraint keeps out is looked for only then: a table without one takes a key again.
      if (wanted.mode === 'insert' && wanted.key.length > 0 && isNaruError(error, 'WRITE_NOT_UNIQUE')) {
        await this.#transaction(signal, () => refuseTakenKeys(staged))
      }
      throw error
    }
  }

  async discard(signal: AbortSignal): Promise<void> {
    await this.#transaction(signal, async () => {
      await this.#run(sql`drop table if exists ${this.#names.rows}`, signal)
      await this.#run(sql`drop table if exists ${this.#names.units}`, signal)
    })
    this.#units.clear()
    this.#published = null
  }

  async removeAbandoned(untouchedMs: number, signal: AbortSignal): Promise<number> {
    const found = await this.#transaction(signal, () =>
      this.#session.query(this.#facts.stages(this.#found.schema), this.#wanted.remote, signal),
    )
    let removed = 0
    for (const [table] of found) {
      const id = idOfUnits(table ?? '')
      if (id === null || id === this.#wanted.id) continue
      if (await this.#transaction(signal, () => this.#removeStage(id, untouchedMs, signal))) removed++
    }
    return removed
  }

  async #removeStage(id: string, untouchedMs: number, signal: AbortSignal): Promise<boolean> {
    const { rows, units } = stageNames(this.#found, id)
    if (!(await isStage(this.#session, this.#found, id, signal))) return false
    const since = sql`${this.#facts.nowSeconds} - ${Math.floor(untouchedMs / 1000)}`
    const ask = sql`select count(*) from (select max(touched) as newest from ${units}) t where newest <= ${since}`
    const [row] = await this.#session.query(ask, this.#wanted.remote, signal)
    if (Number(row?.[0]) !== 1) return false
    // Rows without units are dropped by whoever opens that stage again; units without rows would be taken for a stage.
    await this.#run(sql`drop table if exists ${units}`, signal)
    await this.#run(sql`drop table if exists ${rows}`, signal)
    return true
  }

  close(): Promise<void> {
    return this.#session.connection.close()
  }

  async #openStage(signal: AbortSignal): Promise<void> {
    const { connection } = this.#session
    const types = await stagedTypes(this.#session, this.#facts, this.#found, this.#wanted.id, signal)
    const rows =
      types === null
        ? []
        : await this.#session.query(
            sql`select unit, name, row_count from ${this.#names.units} order by unit`,
            this.#wanted.remote,
            signal,
          )
    await connection.beginTransactions(connection.info.isolations & this.#facts.isolations, signal)
    if (this.#goesOn(types ?? [], rows as readonly (readonly [string, string, string])[])) return
    await this.#transaction(signal, async () => {
      // Begins with a write: a system that locks its whole file lets it wait its turn, and refuses one that read before.
      await this.#run(createUnits(this.#facts, this.#names), signal)
      await this.#run(sql`delete from ${this.#names.units}`, signal)
      await this.#run(sql`drop table if exists ${this.#names.rows}`, signal)
      await this.#run(createStage(this.#facts, this.#names, this.#found), signal)
      // The last: where it is, the stage is whole, also in a system that commits each CREATE by itself.
      await this.#note(ABOUT, this.#about(), 0, signal)
    })
  }

  /** Takes over what is staged; false for rows that were staged for something else and were not published. */
  #goesOn(types: readonly string[], rows: readonly (readonly [string, string, string])[]): boolean {
    const textOf = (wanted: number): string | null => rows.find(([number]) => Number(number) === wanted)?.[1] ?? null
    const mark = textOf(MARK)
    const isChanged = this.#found.isThere && this.#found.columns.some(({ native }, i) => native !== types[i])
    if (mark === null && (isChanged || textOf(ABOUT) !== this.#about())) return false
    if (mark !== null) this.#published = writtenOf(mark)
    for (const [number, name, count] of rows) {
      if (Number(number) > ABOUT) this.#units.set(name, { number: Number(number), rows: BigInt(count) })
    }
    return true
  }

  /** What the stage is for: another write must not go on with it. */
  #about(): string {
    const { remote, columns, key, mode } = this.#wanted
    return sha256(
      JSON.stringify({ remote, columns: columns.map(({ name, type }) => [name, typeText(type)]), key, mode }),
    )
  }

  async #note(number: number, name: string, rows: number, signal: AbortSignal): Promise<void> {
    const text = rawSql(this.#facts.text(name))
    const { units } = this.#names
    await this.#run(
      sql`insert into ${units} (unit, name, row_count, touched) values (${number}, ${text}, ${rows}, ${this.#facts.nowSeconds})`,
      signal,
    )
  }

  async #run(statement: Sql, signal: AbortSignal): Promise<void> {
    await this.#session.connection.execute(this.#session.render(statement).text, signal)
  }

  async #transaction<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    const { connection } = this.#session
    try {
      const result = await body()
      await connection.end('commit', signal)
      return result
    } catch (error) {
      // A connection that cannot go back has lost its transaction as well.
      await connection.end('rollback', new AbortController().signal).catch(() => connection.destroy())
      throw writeError(error, this.#session, this.#wanted.remote)
    }
  }
}

/** Errors of a write: those of the connection are the same as for reading, the others say that nothing is visible. */
function writeError(error: unknown, { target }: Session, table: string): unknown {
  const isOurs = isNaruError(error) && !['DEADLINE', 'SOURCE_READ', 'SOURCE_TABLE_GONE'].includes(error.code)
  if (isOurs || !(error instanceof OdbcFailure || isNaruError(error))) return error
  const asRead = sourceError(error, target, table)
  if (AS_READ.has(asRead.code)) return asRead
  const problem = withoutSecrets(target, messageOf(error))
  const code = isTakenError(error) ? 'WRITE_NOT_UNIQUE' : 'WRITE_FAILED'
  return fail(code, { system: target.source, table, problem }, { cause: new Error(problem) })
}
