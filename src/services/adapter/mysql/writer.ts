import type { ColumnBatch } from '../../../core/batch.ts'
import { sha256, type Env } from '../../../core/env.ts'
import { fail, isNaruError, messageOf, systemCodeOf } from '../../../core/errors.ts'
import { joinSql, rawSql, sql, type Sql } from '../../../core/sql.ts'
import type { ColumnDef } from '../../../core/types.ts'
import type { ControlTotals } from '../contract.ts'
import type { StagedUnit, TableWriter, WriteTarget, Written } from '../contract-writes.ts'
import { writtenOf, writtenText } from '../written.ts'
import { callEach, findProcedure } from './call.ts'
import type { CatalogColumn } from './catalog.ts'
import { Connection, type TextRow } from './connection.ts'
import { sourceError } from './errors.ts'
import { apply, isTakenError, refuseRepeated } from './publish.ts'
import { insertRows } from './stage.ts'
import { withoutSecrets, type Target } from './target.ts'
import { totalsList, totalsOf } from './totals.ts'
import {
  createStage,
  createUnits,
  findTarget,
  idOfUnits,
  nowSeconds,
  stageNames,
  type Found,
  type StageNames,
} from './write-target.ts'

/** Longest wait for another session with the same write, such as one whose process was just killed. */
const LOCK_SECONDS = 20
const NO_SUCH_TABLE = '1146'
/** The table is gone, has other columns, is another account's or in use: then it is not for us to remove. */
const NOT_OURS: ReadonlySet<string> = new Set([NO_SUCH_TABLE, '1054', '1142', '1205'])
/** Errors that are the same whether a table is read or written. */
const AS_READ: ReadonlySet<string> = new Set(['SOURCE_UNREACHABLE', 'SOURCE_LOGIN', 'SOURCE_DENIED'])

/**
 * One write, staged in two tables beside its target: `_naru_<id>` has the rows, `_naru_<id>_units` the units and, once it
 * was published, what that did. DDL commits by itself in MySQL, so no table is made or dropped within a transaction.
 */
export class MysqlWriter implements TableWriter {
  readonly #connection: Connection
  readonly #target: Target
  readonly #wanted: WriteTarget
  readonly #found: Found
  readonly #names: StageNames
  readonly #units = new Map<string, { readonly number: number; readonly rows: bigint }>()
  #published: Written | null = null

  private constructor(connection: Connection, target: Target, wanted: WriteTarget, found: Found) {
    this.#connection = connection
    this.#target = target
    this.#wanted = wanted
    this.#found = found
    this.#names = stageNames(found.table, wanted.id)
  }

  static async open(env: Env, target: Target, wanted: WriteTarget, signal: AbortSignal): Promise<MysqlWriter> {
    let connection: Connection | null = null
    try {
      connection = await Connection.open(env, target, 'write', signal)
      const find = wanted.mode === 'call' ? findProcedure : findTarget
      const found = await find(connection, target, wanted, signal)
      const writer = new MysqlWriter(connection, target, wanted, found)
      await writer.#openStage(signal)
      return writer
    } catch (error) {
      connection?.destroy()
      throw writeError(error, target, wanted.remote)
    }
  }

  get staged(): readonly StagedUnit[] {
    return [...this.#units].map(([unit, { rows }]) => ({ unit, rows }))
  }

  get published(): Written | null {
    return this.#published
  }

  stage(unit: string, batches: AsyncIterable<ColumnBatch>, signal: AbortSignal): Promise<StagedUnit> {
    return this.#transaction(local('repeatable read'), signal, async () => {
      const number = await this.#beginUnit(unit, signal)
      const { columns: wanted } = this.#wanted
      const names = this.#names
      const into = {
        connection: this.#connection,
        names,
        system: this.#target.source,
        table: this.#wanted.remote,
        wanted,
      }
      const rows = await insertRows({ ...into, columns: this.#found.columns }, { name: unit, number }, batches, signal)
      await this.#run(
        sql`update ${names.units} set row_count = ${rows}, touched = ${nowSeconds} where unit = ${number}`,
        signal,
      )
      return { number, rows }
    }).then(({ number, rows }) => {
      this.#units.set(unit, { number, rows })
      return { unit, rows }
    })
  }

  async totals(
    { hash, units }: { readonly hash: boolean; readonly units?: readonly string[] },
    signal: AbortSignal,
  ): Promise<ControlTotals> {
    const columns = this.#found.columns.map((column, i) =>
      asWritten(column, this.#wanted.columns[i] as ColumnDef, `c${i}`),
    )
    const list = totalsList(columns, 'reject', hash)
    // No unit has the number 0.
    const numbers = units?.map(unit => sql`${this.#units.get(unit)?.number ?? 0}`)
    const where = numbers === undefined ? sql`true` : sql`_unit in (${joinSql([sql`0`, ...numbers])})`
    const [row] = await this.#query(sql`select ${list} from ${this.#names.rows} as t where ${where}`, signal)
    return totalsOf(
      row as TextRow,
      columns.map((column, i) => ({ ...column, name: (this.#wanted.columns[i] as ColumnDef).name })),
    )
  }

  async publish({ missed }: { readonly missed: 'refuse' | 'report' }, signal: AbortSignal): Promise<Written> {
    if (this.#published !== null) return this.#published
    const staged = {
      connection: this.#connection,
      system: this.#target.source,
      table: this.#found.table,
      wanted: this.#wanted,
      names: this.#names,
    }
    const isCall = this.#wanted.mode === 'call'
    const called = { target: this.#target, unitOf: (number: number) => this.#unitOf(number) }
    // Serializable: what is counted is locked, so that what is counted is what is changed.
    const how = isCall ? xa(this.#lockName()) : local('serializable')
    const written = await this.#transaction(how, signal, async () => {
      if (!isCall) await refuseRepeated(staged, signal)
      const done = await (isCall ? callEach(staged, called, signal) : apply(staged, missed, signal))
      await this.#run(
        sql`insert into ${this.#names.units} (name, row_count, told, touched) values ('', 0, ${writtenText(done)}, ${nowSeconds})`,
        signal,
      )
      return done
    })
    this.#published = written
    return written
  }

  async discard(signal: AbortSignal): Promise<void> {
    await this.#guard(async () => {
      await this.#connection.run(sql`drop table if exists ${this.#names.rows}, ${this.#names.units}`, signal)
      await this.#connection.query(sql`select release_lock(${this.#lockName()})`, signal)
    })
    this.#units.clear()
    this.#published = null
  }

  async removeAbandoned(untouchedMs: number, signal: AbortSignal): Promise<number> {
    const { schema } = this.#found.table
    const found = await this.#query(
      sql`select table_name from information_schema.tables where table_schema = ${schema} and table_name like ${'\\_naru\\_%'}`,
      signal,
    )
    let removed = 0
    for (const [table] of found) {
      const id = idOfUnits(table as string)
      if (id === null || id === this.#wanted.id) continue
      if (await this.#guard(() => this.#removeStage(id, untouchedMs, signal))) removed++
    }
    return removed
  }

  /** Under the lock of that write, so that nobody goes on with it meanwhile. */
  async #removeStage(id: string, untouchedMs: number, signal: AbortSignal): Promise<boolean> {
    const { rows, units } = stageNames(this.#found.table, id)
    const lock = this.#lockName(id)
    const [taken] = await this.#connection.query(sql`select get_lock(${lock}, 0)`, signal)
    if (taken?.[0] !== '1') return false
    try {
      const since = sql`${nowSeconds} - ${Math.floor(untouchedMs / 1000)}`
      const [row] = await this.#connection.query(sql`select max(touched) <= ${since} from ${units}`, signal)
      if (row?.[0] !== '1') return false
      await this.#run(sql`drop table if exists ${rows}, ${units}`, signal)
      return true
    } catch (error) {
      if (NOT_OURS.has(systemCodeOf(error) ?? '')) return false
      throw error
    } finally {
      await this.#connection.query(sql`select release_lock(${lock})`, signal)
    }
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  async #openStage(signal: AbortSignal): Promise<void> {
    const [lock] = await this.#query(sql`select get_lock(${this.#lockName()}, ${LOCK_SECONDS})`, signal)
    if (lock?.[0] !== '1')
      throw this.#refused(`another session has been writing "${this.#wanted.id}" for ${LOCK_SECONDS} s`)
    const known = await this.#knownUnits(signal)
    if (known !== null && this.#goOn(known)) return
    // The units go first: where they are, the stage is whole.
    await this.#run(sql`drop table if exists ${this.#names.units}`, signal)
    await this.#run(sql`drop table if exists ${this.#names.rows}`, signal)
    await this.#run(createStage(this.#names, this.#found.columns, this.#wanted), signal)
    // The units come last: where they are, the stage is whole.
    await this.#run(createUnits(this.#names), signal)
    await this.#run(
      sql`insert into ${this.#names.units} (name, row_count, told, touched)
        values (${ABOUT}, 0, ${this.#about()}, ${nowSeconds})`,
      signal,
    )
  }

  async #knownUnits(signal: AbortSignal): Promise<readonly TextRow[] | null> {
    try {
      const rows = await this.#connection.query(
        sql`select unit, name, row_count, told from ${this.#names.units} order by unit`,
        signal,
      )
      return rows.length > 0 ? rows : null // broken off while it was made
    } catch (error) {
      if (systemCodeOf(error) === NO_SUCH_TABLE) return null
      throw error
    }
  }

  /** Takes over what is staged; false for rows that were staged for something else and were not published. */
  #goOn(rows: readonly TextRow[]): boolean {
    const mark = rows.find(([, name]) => name === '')
    const about = rows.find(([, name]) => name === ABOUT)
    if (mark === undefined && about?.[3] !== this.#about()) return false
    if (mark !== undefined) this.#published = writtenOf(mark[3] as string)
    for (const [number, name, count] of rows as readonly (readonly string[])[]) {
      if (name?.startsWith(':') !== true) continue
      this.#units.set(name.slice(1), { number: Number(number), rows: BigInt(count as string) })
    }
    return true
  }

  /** What the stage is for: another write must not go on with it. */
  #about(): string {
    const { remote, columns, key, mode } = this.#wanted
    const types = this.#found.columns.map(column => column.nativeType)
    return JSON.stringify({ remote, columns: columns.map(({ name, type }) => ({ name, type })), types, key, mode })
  }

  async #beginUnit(unit: string, signal: AbortSignal): Promise<number> {
    const name = `:${unit}`
    const read = sql`select unit from ${this.#names.units} where name = ${name}`
    const [old] = await this.#query(read, signal)
    if (old !== undefined) {
      await this.#run(sql`delete from ${this.#names.rows} where _unit = ${Number(old[0])}`, signal)
      return Number(old[0])
    }
    await this.#run(
      sql`insert into ${this.#names.units} (name, row_count, touched) values (${name}, 0, ${nowSeconds})`,
      signal,
    )
    const [made] = await this.#query(read, signal)
    return Number(made?.[0])
  }

  async #transaction<T>(how: Transaction, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    return this.#guard(async () => {
      for (const statement of how.begin) await this.#connection.run(statement, signal)
      try {
        const result = await body()
        for (const statement of how.commit) await this.#connection.run(statement, signal)
        return result
      } catch (error) {
        await how.rollback(this.#connection).catch(() => this.#connection.destroy())
        throw error
      }
    })
  }

  #unitOf(number: number): string {
    return [...this.#units].find(([, unit]) => unit.number === number)?.[0] ?? ''
  }

  async #run(statement: Sql, signal: AbortSignal): Promise<void> {
    await this.#connection.run(statement, signal)
  }

  #query(statement: Sql, signal: AbortSignal): Promise<readonly TextRow[]> {
    return this.#guard(() => this.#connection.query(statement, signal))
  }

  async #guard<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (error) {
      throw writeError(error, this.#target, this.#wanted.remote)
    }
  }

  #refused(problem: string): Error {
    return fail('WRITE_TARGET', { system: this.#target.source, table: this.#wanted.remote, problem })
  }

  /** Locks of a server have 64 letters for all its databases. */
  #lockName(id = this.#wanted.id): string {
    return `naru ${sha256(`${this.#found.table.schema}\0${id}`).slice(0, 32)}`
  }
}

/** How a transaction begins and ends. */
interface Transaction {
  readonly begin: readonly Sql[]
  readonly commit: readonly Sql[]
  rollback(connection: Connection): Promise<unknown>
}

function local(isolation: 'repeatable read' | 'serializable'): Transaction {
  return {
    begin: [sql`set transaction isolation level ${rawSql(isolation)}`, sql`start transaction`],
    commit: [sql`commit`],
    rollback: connection => connection.run(sql`rollback`),
  }
}

/** One that no statement within can end, also none that commits by the way. Committed in one phase, as any other. */
function xa(name: string): Transaction {
  return {
    begin: [sql`set transaction isolation level repeatable read`, sql`xa start ${name}`],
    commit: [sql`xa end ${name}`, sql`xa commit ${name} one phase`],
    rollback: async connection => {
      // Refused where the server has ended it already, as after a deadlock: then only the rollback is left.
      await connection.run(sql`xa end ${name}`).catch(() => {})
      await connection.run(sql`xa rollback ${name}`)
    },
  }
}

/** Name of the row that says what the stage is for; units have a colon before theirs, the mark of a publish has none. */
const ABOUT = 'about'

/** The column of the stage with the type that was given: totals are those of the rows that came. */
function asWritten(column: CatalogColumn, { type }: ColumnDef, name: string): CatalogColumn {
  return { ...column, name, type }
}

/** Errors of a write: those of the connection are the same as for reading, the others say that nothing is visible. */
function writeError(error: unknown, target: Target, table: string): Error {
  if (isNaruError(error) && !isNaruError(error, 'DEADLINE')) return error
  if (systemCodeOf(error) === undefined && !isNaruError(error) && !isServerGone(error)) return error as Error
  const asRead = sourceError(error, target, table)
  if (AS_READ.has(asRead.code)) return asRead
  const problem = withoutSecrets(target, messageOf(error))
  const code = isTakenError(error) ? 'WRITE_NOT_UNIQUE' : 'WRITE_FAILED'
  return fail(code, { system: target.source, table, problem }, { cause: new Error(problem) })
}

function isServerGone(error: unknown): boolean {
  return /^the (server|connection) /.test(messageOf(error))
}
