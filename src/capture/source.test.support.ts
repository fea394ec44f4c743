import type { ChangeDef, SourceTableDef } from '../config/model.ts'
import type { PlanRead, ReadPlan, TablePosition } from '../run/technique.ts'
import { anyTime, versionsAfter } from '../run/versions.ts'
import { planCombined } from './combined.ts'
import { planTimestamp } from './timestamp.ts'
import { planVersion } from './version.ts'

/** A row as a reader sees it: what was written, when by the writer's clock, and its number. */
export interface SimulatedRow {
  readonly id: number
  readonly value: number
  readonly at: bigint
  readonly rev: bigint
}

const second = 1_000_000n
/** As the adapters: a session takes its time a moment before it reports it. */
const reportMicros = 5n * second

/** A table and its writers, with a clock that can be set. */
export class SimulatedSource {
  readonly rows = new Map<number, SimulatedRow>()
  readonly #open = new Map<number, { readonly start: bigint; readonly rows: SimulatedRow[]; isOld: boolean }>()
  #now = 1_800_000_000n * second
  #theirs = 0n
  #ours = 0n
  #written = 0n
  #isJumped = false

  /** The clock of the source. */
  get clock(): bigint {
    return this.#now + this.#theirs
  }

  pass(seconds: number): void {
    this.#now += BigInt(seconds) * second
  }

  /** Sets one of the clocks; once between two reads, for what is put right again before anybody looked is not noticed. */
  jump(whose: 'theirs' | 'ours', seconds: number): void {
    if (this.#isJumped) return
    this.#isJumped = true
    for (const it of this.#open.values()) it.isOld = true
    if (whose === 'theirs') this.#theirs += BigInt(seconds) * second
    else this.#ours += BigInt(seconds) * second
  }

  /**
   * A writer writes a row; its transaction begins with that, and stamps by its beginning or by the clock. One that was open when the
   * clock jumped stamps by its beginning: what it stamps by the clock is before it began, and no horizon holds that.
   */
  write(writer: number, id: number, by: 'start' | 'clock'): void {
    const transaction = this.#open.get(writer) ?? { start: this.clock, rows: [], isOld: false }
    this.#open.set(writer, transaction)
    this.#now += 1n
    this.#written += 1n
    const at = by === 'start' || transaction.isOld ? transaction.start : this.clock
    transaction.rows.push({ id, value: Number(this.#written), at, rev: this.#written })
  }

  /** A row of this moment, with the number of every other such row. */
  tie(id: number): void {
    this.rows.set(id, { id, value: id, at: this.clock, rev: 7n })
  }

  commit(writer: number): void {
    for (const row of this.#open.get(writer)?.rows ?? []) this.rows.set(row.id, row)
    this.#open.delete(writer)
  }

  /** What a view is told with, as `readHorizon` of an adapter. */
  view(tells: boolean): Parameters<PlanRead>[1] {
    this.#isJumped = false
    if (tells) this.#now += 1n
    const starts = [...this.#open.values()].map(it => it.start)
    const oldest = starts.reduce((a, b) => (a < b ? a : b), this.clock - reportMicros)
    const horizonMicros = starts.some(start => start > this.clock) ? anyTime : oldest
    return {
      takenAtMicros: this.clock,
      horizonMicros: tells ? horizonMicros : null,
      oursMicros: this.#now + this.#ours,
    }
  }
}

/** A reader that keeps a copy, as the interface and staging do. */
export class SimulatedReader {
  readonly copy = new Map<number, SimulatedRow>()
  readonly notes: string[] = []
  readonly #table: SourceTableDef
  readonly #tells: boolean
  #position: TablePosition | null = null

  constructor(change: ChangeDef, tells = true) {
    this.#table = { source: 'shop', name: 'item', remote: 'item', key: ['id'], columns: [], change } as never
    this.#tells = tells
  }

  read(source: SimulatedSource): void {
    const { change } = this.#table
    const view = source.view(this.#tells)
    const plan = planOf(this.#table, change, view, this.#position)
    if (plan.warning !== null) this.notes.push(plan.warning)
    if (plan.scope === 'all') this.copy.clear()
    const found = [...source.rows.values()].filter(row => isAsked(plan, row))
    for (const row of found) this.copy.set(row.id, row)
    const highest = found.reduce<bigint | null>((most, { rev }) => (most === null || rev > most ? rev : most), null)
    this.#position = {
      horizonMicros: plan.horizonMicros,
      sweptMicros: view.takenAtMicros,
      versions: plan.versions == null ? null : versionsAfter(plan.versions, highest),
      clocks: { theirsMicros: view.takenAtMicros, oursMicros: view.oursMicros as bigint },
    }
  }
}

function planOf(
  table: SourceTableDef,
  change: ChangeDef,
  view: Parameters<PlanRead>[1],
  position: TablePosition | null,
): ReadPlan {
  if (change.technique === 'timestamp') return planTimestamp(table, change, view, position)
  if (change.technique === 'version') return planVersion(table, change, view, position)
  return planCombined(table, change as Extract<ChangeDef, { technique: 'combined' }>, view, position)
}

function isAsked({ scope, since, changed }: ReadPlan, { at, rev }: SimulatedRow): boolean {
  if (scope === 'all') return true
  if (since !== null) return at >= since.atLeastMicros
  return (changed ?? []).some(mark =>
    mark.kind === 'stamp' ? at >= mark.atLeastMicros : mark.kind === 'version' && rev >= mark.atLeast,
  )
}

const deletes = { kind: 'keep' } as const

/** The techniques that go on from where they were; a source that tells nothing of its transactions states a lag of nothing. */
export const simulated = {
  timestamp: (stated: boolean) =>
    ({ technique: 'timestamp', column: 'at', lagMs: stated ? 0 : null, deletes }) as ChangeDef,
  version: (stated: boolean) =>
    ({ technique: 'version', column: 'rev', overlap: stated ? 0n : null, deletes }) as ChangeDef,
  combined: (stated: boolean) =>
    ({
      technique: 'combined',
      timestamp: { column: 'at', lagMs: stated ? 0 : null },
      version: { column: 'rev', overlap: stated ? 0n : null },
      flag: null,
      deletes,
    }) as ChangeDef,
} as const
