import { durationMs } from '../core/implementation.ts'
import type { ColumnType } from '../core/types.ts'
import type { AnyChange, Changes, FlagValue, StampKind, StreamStart, Technique } from './change.ts'
import type { Columns } from './column.ts'
import { checkedOptions } from './handle.ts'
import { mistake } from './mistake.ts'
import type { ChangeDef, DeletesDef, SourceDef } from './model.ts'
import type { Schema } from './source.ts'

/** Every technique, in the order in which they are told to people. */
export const techniqueNames: readonly Technique[] = [
  'full',
  'timestamp',
  'version',
  'status',
  'combined',
  'trigger',
  'event',
  'log',
]

/** The techniques of a source that is only read. */
export const readingTechniques: readonly Technique[] = ['full', 'timestamp', 'version', 'combined']

/** What a source allows of its techniques. */
export interface ChangeRules {
  readonly stamps: readonly StampKind[]
  readonly techniques: readonly Technique[]
}

type Given = AnyChange<string, Technique>
type GivenOf<T extends Technique> = Extract<Given, { technique: T }>

/** `*` passes over tables without its columns; one that fits no table at all is a mistake. */
export function assertUsable(source: string, schema: Schema, changes: Changes<Schema>, rules: ChangeRules): void {
  const all = changes['*'] as Given | undefined
  if (all === undefined) return
  const where = `the changes of source "${source}"`
  assertTechnique(where, all, rules)
  if (Object.values(schema).some(({ columns }) => whyUnfit(all, columns, rules) === null)) return
  const [name] = columnsOf(all)
  const what = all.technique === 'timestamp' ? ' with date and time' : ' that it could go by'
  throw mistake(`${where}: no table has a column "${name}"${what}`)
}

/** The change technique of one table: its own, or `*` where its columns allow it, or a full read. */
export function changeOf(
  where: string,
  columns: Columns,
  changes: Changes<Schema>,
  { table, ...rules }: ChangeRules & { readonly table: string },
): ChangeDef {
  const own = changes[table] as Given | undefined
  const given = own ?? (changes['*'] as Given | undefined)
  if (given === undefined) return { technique: 'full' }
  assertTechnique(where, given, rules)
  checkedOptions(`${where}, technique ${given.technique}`, given, optionsOf[given.technique])
  const problem = whyUnfit(given, columns, rules)
  if (problem === null) return defOf(where, given, columns)
  if (own === undefined) return { technique: 'full' }
  throw mistake(`${where}: ${problem}`)
}

const optionsOf: Readonly<Record<Technique, readonly string[]>> = {
  full: ['technique'],
  timestamp: ['technique', 'column', 'deletes', 'lag'],
  version: ['technique', 'column', 'deletes', 'overlap'],
  status: ['technique', 'column', 'pending', 'done', 'deletes', 'start'],
  combined: ['technique', 'timestamp', 'version', 'status', 'deletes'],
  trigger: ['technique', 'start'],
  event: ['technique', 'start'],
  log: ['technique', 'start'],
}

function assertTechnique(where: string, { technique }: { readonly technique: string }, rules: ChangeRules): void {
  const { techniques } = rules
  if (techniques.some(name => name === technique)) return
  const others = `use ${techniques.slice(0, -1).join(', ')} or ${techniques.at(-1)}`
  const isKnown = techniqueNames.some(name => name === technique)
  throw mistake(
    isKnown
      ? `${where}: its source does not have the technique "${technique}"; ${others}`
      : `${where}: there is no technique "${String(technique)}"; ${others}`,
  )
}

/** The columns that a technique goes by. */
function columnsOf(given: Given): readonly string[] {
  if (given.technique === 'combined') {
    return [given.timestamp, given.version, given.status].flatMap(part => (part === undefined ? [] : [part.column]))
  }
  return 'column' in given ? [given.column] : []
}

/** Why a technique cannot go by these columns; `null` when it can. */
function whyUnfit(given: Given, columns: Columns, rules: ChangeRules): string | null {
  switch (given.technique) {
    case 'timestamp':
      return noStamp(given.column, columns, rules)
    case 'version':
      return noVersion(given.column, columns)
    case 'status':
      return noFlag(given.column, columns, [given.pending, given.done])
    case 'combined': {
      const { timestamp, version, status } = given
      return (
        (timestamp === undefined ? null : noStamp(timestamp.column, columns, rules)) ??
        (version === undefined ? null : noVersion(version.column, columns)) ??
        (status === undefined ? null : noFlag(status.column, columns, [status.pending]))
      )
    }
    default:
      return null
  }
}

function noStamp(name: string, columns: Columns, { stamps }: ChangeRules): string | null {
  if (stamps.some(kind => columns[name]?.type.kind === kind)) return null
  return `the timestamp technique needs a column with date and time; "${name}" is none`
}

function noVersion(name: string, columns: Columns): string | null {
  return columns[name]?.type.kind === 'int' ? null : `a version is a column of whole numbers; "${name}" is none`
}

function noFlag(name: string, columns: Columns, values: readonly FlagValue[]): string | null {
  const type = columns[name]?.type
  if (type === undefined) return `a status needs a column; "${name}" is none`
  const unfit = values.find(value => !holds(type, value))
  if (unfit === undefined) return null
  return `the column "${name}" cannot hold ${typeof unfit === 'bigint' ? unfit : JSON.stringify(unfit)}`
}

function holds(type: ColumnType, value: unknown): boolean {
  switch (type.kind) {
    case 'bool':
      return typeof value === 'boolean'
    case 'int': {
      const isWhole = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
      const most = 1n << BigInt(type.bits - 1)
      return isWhole && BigInt(value) >= -most && BigInt(value) < most
    }
    case 'text':
      return typeof value === 'string'
    case 'enum':
      return typeof value === 'string' && type.values.includes(value)
    default:
      return false
  }
}

function defOf(where: string, given: Given, columns: Columns): ChangeDef {
  switch (given.technique) {
    case 'full':
      return { technique: 'full' }
    case 'timestamp':
      return { technique: 'timestamp', ...stampOf(where, given), deletes: deletesOf(where, given, 'a timestamp') }
    case 'version':
      return { technique: 'version', ...versionOf(where, given), deletes: deletesOf(where, given, 'a version') }
    case 'status':
      return statusOf(where, given)
    case 'combined':
      return combinedOf(where, given, columns)
    default:
      return { technique: given.technique, start: startOf(where, given.start) }
  }
}

function combinedOf(where: string, given: GivenOf<'combined'>, columns: Columns): ChangeDef {
  const { timestamp, version, status } = given
  const parts = ['timestamp', 'version', 'status'] as const
  if (parts.filter(part => given[part] !== undefined).length < 2) {
    throw mistake(`${where}: combined takes two or three of ${parts.join(', ')}`)
  }
  if (timestamp !== undefined) checkedOptions(`${where}, timestamp`, timestamp, ['column', 'lag'])
  if (version !== undefined) checkedOptions(`${where}, version`, version, ['column', 'overlap'])
  if (status !== undefined) checkedOptions(`${where}, status`, status, ['column', 'pending'])
  const names = columnsOf(given)
  const twice = names.find((name, i) => names.indexOf(name) !== i && columns[name] !== undefined)
  if (twice !== undefined) throw mistake(`${where}: combined names the column "${twice}" twice`)
  return {
    technique: 'combined',
    timestamp: timestamp === undefined ? null : stampOf(where, timestamp),
    version: version === undefined ? null : versionOf(where, version),
    flag: status === undefined ? null : { column: status.column, pending: String(status.pending) },
    deletes: deletesOf(where, given, 'a column'),
  }
}

function statusOf(where: string, given: GivenOf<'status'>): ChangeDef {
  const { column } = given
  const [pending, done] = [String(given.pending), String(given.done)]
  if (pending === done) throw mistake(`${where}: pending and done must differ; both are ${JSON.stringify(pending)}`)
  const deletes = deletesOf(where, given, 'a status')
  return { technique: 'status', flag: { column, pending, done }, deletes, start: startOf(where, given.start) }
}

function stampOf(
  where: string,
  { column, lag }: { readonly column: string; readonly lag?: string },
): { readonly column: string; readonly lagMs: number | null } {
  return { column, lagMs: lag === undefined ? null : millis(`${where}, lag`, lag) }
}

function versionOf(
  where: string,
  { column, overlap }: { readonly column: string; readonly overlap?: number | bigint },
): { readonly column: string; readonly overlap: bigint | null } {
  if (overlap === undefined) return { column, overlap: null }
  const isWhole = typeof overlap === 'bigint' || Number.isSafeInteger(overlap)
  if (!isWhole || overlap < 0) throw mistake(`${where}: overlap is how many numbers may still come, 0 or more`)
  return { column, overlap: BigInt(overlap) }
}

function startOf(where: string, start: unknown): StreamStart {
  if (start === undefined || start === 'snapshot' || start === 'now') return start ?? 'snapshot'
  throw mistake(`${where}: start is 'snapshot' or 'now', not ${JSON.stringify(start)}`)
}

function deletesOf(where: string, { deletes }: { readonly deletes?: unknown }, what: string): DeletesDef {
  if (deletes === 'keep') return { kind: 'keep' }
  if (typeof deletes !== 'object' || deletes === null || !('sweep' in deletes)) {
    throw mistake(`${where}: ${what} cannot show a delete; say deletes: 'keep' or { sweep: '1d' }`)
  }
  checkedOptions(`${where}, deletes`, deletes, ['sweep'])
  return { kind: 'sweep', everyMs: millis(`${where}, sweep`, deletes.sweep) }
}

/** The pause between two reads of a source, when its config says one. */
export function everyOf(source: string, every: unknown): { readonly everyMs?: number } {
  if (every === undefined) return {}
  const everyMs = millis(`source "${source}", every`, every)
  if (everyMs <= 0) throw mistake(`source "${source}": every must be longer than nothing`)
  return { everyMs }
}

/** How the streams of a source are looked after, when its config says so. */
export function careOf(
  source: string,
  { compare, lagAlarmBytes }: { readonly compare: unknown; readonly lagAlarmBytes: unknown },
): Pick<SourceDef, 'compareMs' | 'lagAlarmBytes'> {
  const compareMs =
    compare === 'off' ? null : compare === undefined ? undefined : millis(`source "${source}", compare`, compare)
  if (compareMs === 0) throw mistake(`source "${source}": compare must be longer than nothing, or 'off'`)
  const isBytes = lagAlarmBytes === undefined || (Number.isSafeInteger(lagAlarmBytes) && (lagAlarmBytes as number) > 0)
  if (!isBytes) throw mistake(`source "${source}": lagAlarmBytes is a number of bytes over 0`)
  return {
    ...(compareMs === undefined ? {} : { compareMs }),
    ...(lagAlarmBytes === undefined ? {} : { lagAlarmBytes: lagAlarmBytes as number }),
  }
}

/** What guards the disk of a source, when its config says so. Throws where there is nothing to guard, or nothing that may be dropped. */
export function guardOf(
  source: string,
  guard: unknown,
  { kept, tables }: { readonly kept: readonly Technique[]; readonly tables: SourceDef['tables'] },
): Pick<SourceDef, 'guard'> {
  if (guard === undefined) return {}
  const where = `source "${source}", guard`
  if (typeof guard !== 'object' || guard === null) throw mistake(`${where}: write { bytes: …, then: 'pause' }`)
  checkedOptions(where, guard, ['bytes', 'then'])
  const { bytes, then } = guard as { readonly bytes?: unknown; readonly then?: unknown }
  if (!Number.isSafeInteger(bytes) || (bytes as number) <= 0) throw mistake(`${where}: bytes is a number over 0`)
  if (then !== 'pause' && then !== 'drop') throw mistake(`${where}: then is 'pause' or 'drop'`)
  const guarded = kept.filter(technique => tables.some(({ change }) => change.technique === technique))
  if (guarded.length === 0) {
    const of = kept.length === 0 ? 'a stream' : `the technique ${kept.join(' or ')}`
    throw mistake(`${where}: the source keeps nothing for us, for no table has ${of}`)
  }
  if (then === 'drop' && guarded.every(technique => technique === 'event'))
    throw mistake(`${where}: an outbox belongs to the application and is never dropped; use then: 'pause'`)
  return { guard: { bytes: bytes as number, then } }
}

function millis(where: string, duration: unknown): number {
  const ms = durationMs(String(duration))
  if (ms === null) throw mistake(`${where}: ${JSON.stringify(duration)} is no duration such as '30s', '10m' or '1d'`)
  return ms
}
