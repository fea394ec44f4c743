import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sql } from '../core/sql.ts'
import type { ExportDef } from '../config/model.ts'
import type { StageContext } from '../run/context.ts'
import { loadDimension } from './dimension.ts'
import { stageEngines } from '../testing/stage-engines.ts'
import { changeExport, column, dayText, openStar, timestamp, type ExportedRow, type Star } from './star.test.support.ts'
import type { HistoryDimensionDef } from './tables.ts'

const exported: ExportDef = {
  name: 'thing_x',
  entity: 'thing',
  columns: [column('code'), column('grade'), column('name'), column('since', timestamp)],
  key: ['code'],
  masks: [],
  where: null,
}

const thing: HistoryDimensionDef = {
  kind: 'history',
  name: 'thing',
  export: 'thing_x',
  key: ['code'],
  columns: exported.columns,
  type2: ['grade'],
  validFrom: 'since',
  onDelete: 'close',
}

/** One thing that happens to one key; `gone` deletes it. */
interface Happening {
  readonly code: string
  readonly gone: boolean
  readonly grade: string
  readonly name: string
  readonly since: number
}

interface Version {
  /** When it became true, and when its row said so: these differ for a key that came back. */
  since: number
  stated: number
  grade: string
  end: number
}

/** A key in the model: its versions in order, each with the day a delete ended it (or Infinity), and its type 1 name. */
interface Member {
  versions: Version[]
  name: string
}

/** The rules of a history, said once more without SQL, for one key at a time. */
function happen(member: Member | undefined, now: Happening, day: number, arrival: boolean): Member | undefined {
  if (now.gone) return member === undefined ? undefined : close(member, day)
  const stated = arrival ? day : now.since
  const { grade } = now
  if (member === undefined) return { versions: [{ since: stated, stated, grade, end: Infinity }], name: now.name }
  const last = member.versions.at(-1) as Version
  const since = placeOf(last, stated, day, arrival)
  if (since >= last.since) member.name = now.name
  const same = member.versions.find(version => version.since === since)
  if (same !== undefined) {
    Object.assign(same, { grade, stated })
    return member
  }
  const covering = member.versions.find((version, i) => {
    const from = i === 0 ? -Infinity : version.since
    return since >= from && since < endOf(member, i)
  })
  if (covering !== undefined && covering.grade === grade) return member
  const takesEnd = covering !== undefined && covering.since < since
  member.versions.push({ since, stated, grade, end: takesEnd ? covering.end : Infinity })
  if (takesEnd) covering.end = Infinity
  member.versions.sort((a, b) => a.since - b.since)
  return member
}

function placeOf(last: Version, stated: number, day: number, arrival: boolean): number {
  if (last.end < Infinity) return stated < last.end ? Math.max(day, last.end) : stated
  if (arrival) return Math.max(day, last.since)
  return stated >= last.stated && stated < last.since ? last.since : stated
}

function close(member: Member, day: number): Member {
  const last = member.versions.at(-1) as Version
  if (last.end < Infinity) return member
  member.versions = member.versions.filter((version, i) => i === 0 || version.since < day)
  const ended = member.versions.at(-1) as Version
  ended.end = Math.min(ended.end, day)
  if (ended.since >= day) ended.since = -Infinity
  return member
}

function endOf(member: Member, i: number): number {
  const next = member.versions[i + 1]?.since ?? Infinity
  return Math.min(next, (member.versions[i] as Version).end)
}

function rangesOf(members: ReadonlyMap<string, Member>): readonly string[] {
  const text = (day: number): string => (Number.isFinite(day) ? dayText(day) : day < 0 ? '-infinity' : 'infinity')
  return [...members]
    .flatMap(([code, member]) =>
      member.versions.map((version, i) => {
        const to = endOf(member, i)
        const isLast = i === member.versions.length - 1
        const deleted = version.end < Infinity && version.end <= (member.versions[i + 1]?.since ?? Infinity)
        const from = i === 0 ? -Infinity : version.since
        return [code, version.grade, member.name, text(from), text(to), isLast && to === Infinity, deleted].join(' ')
      }),
    )
    .sort()
}

const happening = fc.record({
  code: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  gone: fc.nat(3).map(n => n === 0),
  grade: fc.constantFrom('A', 'B', 'C'),
  name: fc.constantFrom('x', 'y'),
  since: fc.nat(12),
})

/** Days on which the source was read, not always in order, with what had happened to each key. */
const story = fc.array(
  fc.record({
    day: fc.nat(14),
    happenings: fc.uniqueArray(happening, { selector: ({ code }) => code, maxLength: 6 }),
  }),
  { minLength: 1, maxLength: 9, size: 'max' },
)

async function tableRanges(ctx: StageContext): Promise<readonly string[]> {
  const rows = await ctx.tx.rows(sql`
    select concat_ws(' ', code, grade, name, replace(cast(valid_from as varchar), ' 00:00:00', ''),
      replace(cast(valid_to as varchar), ' 00:00:00', ''), cast(is_current as varchar), cast(is_deleted as varchar)) as line
    from dw.dim_thing where thing_key > 0 and code <> 'anchor'`)
  return rows.map(row => String(row['line'])).sort()
}

function asRow(now: Happening): ExportedRow {
  return { key: [now.code], values: now.gone ? null : [now.grade, now.name, dayText(now.since)] }
}

describe.each(stageEngines)('$kind', ({ kind, open }) => {
  let star: Star
  beforeAll(async () => {
    star = await openStar([thing], [], open)
  }, 180_000)
  afterAll(() => star.engine.close())

  it.each([
    ['times that the source states', 'since'],
    ['times of arrival', null],
  ])(
    'any story of late, equal, deleted and returning changes gives the history of the model: %s',
    { timeout: 180_000 },
    async (_, validFrom) => {
      const definition = { ...thing, validFrom }
      await fc.assert(
        fc.asyncProperty(story, async days => {
          await star.query('drop table if exists dw.dim_thing')
          await star.query('drop table if exists export.thing_x')
          await star.query('delete from naru.restatement')
          const members = new Map<string, Member>()
          const anchor = { day: 0, happenings: [{ code: 'anchor', gone: false, grade: 'A', name: 'x', since: 0 }] }
          let run = 0
          for (const { day, happenings } of [anchor, ...days]) {
            run += 1
            await star.publish({ run, day }, async ctx => {
              const changes = await changeExport(ctx, exported, happenings.map(asRow))
              await loadDimension(ctx, { definition, exportDef: exported, changes })
            })
            for (const now of happenings) {
              const member = happen(members.get(now.code), now, day, validFrom === null)
              if (member !== undefined && now.code !== 'anchor') members.set(now.code, member)
            }
            expect(await star.publish({ run, day }, tableRanges)).toEqual(rangesOf(members))
          }
          const again = await star.publish({ run: run + 1, day: 20 }, ctx =>
            loadDimension(ctx, {
              definition,
              exportDef: exported,
              changes: {
                table: { kind: 'ident', path: [] },
                scope: 'all',
                keys: null,
                inserted: 0,
                updated: 0,
                deleted: 0,
              },
            }),
          )
          expect(again).toMatchObject({ inserted: 0, updated: 0, deleted: 0, moved: null })
        }),
        // Each step of a story is thirty statements, which a server answers one by one.
        { numRuns: kind === 'duckdb' ? 12 : 4 },
      )
    },
  )
})
