import { describe, expect, it } from 'vitest'
import { env, http, mysql, pg, sqlite, t } from '../index.ts'
import { about } from './handle.ts'
import type { ChangeDef, SourceDef } from './model.ts'

const columns = {
  id: t.int(),
  body: t.text(),
  rev: t.big(),
  state: t.enum('new', 'seen'),
  sent: t.bool(),
  mark: t.small(),
  at: t.timestamptz(),
}
const schema = {
  doc: { key: ['id'], columns },
  note: { key: ['id'], columns: { id: t.uuid(), size: t.decimal(9, 2) } },
}

function defOf(source: object): SourceDef {
  return (source as { readonly [about]: { readonly def: SourceDef } })[about].def
}

/** What a config says that nobody type-checked. */
function sourceOf(changes: object, build: (name: string, options: never) => object = pg): SourceDef {
  return defOf(build('a', { url: env('URL'), schema, changes } as never))
}

function changesOf(changes: object): Readonly<Record<string, ChangeDef>> {
  return Object.fromEntries(sourceOf(changes).tables.map(table => [table.name, table.change]))
}

describe('the change techniques of a config', () => {
  it.each<[string, object, object]>([
    ['version', { column: 'rev', deletes: 'keep' }, { column: 'rev', overlap: null, deletes: { kind: 'keep' } }],
    [
      'version',
      { column: 'mark', overlap: 10, deletes: { sweep: '1h' } },
      { column: 'mark', overlap: 10n, deletes: { kind: 'sweep', everyMs: 3_600_000 } },
    ],
    [
      'status',
      { column: 'sent', pending: false, done: true, deletes: 'keep' },
      { flag: { column: 'sent', pending: 'false', done: 'true' }, deletes: { kind: 'keep' }, start: 'snapshot' },
    ],
    [
      'status',
      { column: 'mark', pending: 0, done: -1, deletes: 'keep', start: 'now' },
      { flag: { column: 'mark', pending: '0', done: '-1' }, deletes: { kind: 'keep' }, start: 'now' },
    ],
    [
      'combined',
      { timestamp: { column: 'at', lag: '1m' }, status: { column: 'state', pending: 'new' }, deletes: 'keep' },
      {
        timestamp: { column: 'at', lagMs: 60_000 },
        version: null,
        flag: { column: 'state', pending: 'new' },
        deletes: { kind: 'keep' },
      },
    ],
    ['trigger', {}, { start: 'snapshot' }],
    ['event', { start: 'snapshot' }, { start: 'snapshot' }],
    ['log', { start: 'now' }, { start: 'now' }],
  ])('%s %o', (technique, given, def) => {
    expect(changesOf({ doc: { technique, ...given } })['doc']).toEqual({ technique, ...def })
  })

  it('a rule for all is for the tables that have its columns and can hold its values', () => {
    const full = { technique: 'full' }
    const version = { technique: 'version', column: 'rev', overlap: null, deletes: { kind: 'keep' } }
    expect(changesOf({ '*': { technique: 'version', column: 'rev', deletes: 'keep' } })).toEqual({
      doc: version,
      note: full,
    })
    const log = { technique: 'log', start: 'snapshot' }
    expect(changesOf({ '*': { technique: 'log' }, note: full })).toEqual({ doc: log, note: full })
  })

  it.each<[string, object, string]>([
    ['a version that is no number', { technique: 'version', column: 'at', deletes: 'keep' }, '"at" is none'],
    ['a version without a policy', { technique: 'version', column: 'rev' }, "say deletes: 'keep' or { sweep: '1d' }"],
    [
      'an overlap below nothing',
      { technique: 'version', column: 'rev', overlap: -1, deletes: 'keep' },
      'overlap is how many numbers',
    ],
    [
      'a status that its column cannot hold',
      { technique: 'status', column: 'mark', pending: 0, done: 40_000, deletes: 'keep' },
      'the column "mark" cannot hold 40000',
    ],
    [
      'a status outside the list',
      { technique: 'status', column: 'state', pending: 'new', done: 'old', deletes: 'keep' },
      'the column "state" cannot hold "old"',
    ],
    [
      'a status that says nothing',
      { technique: 'status', column: 'state', pending: 'new', done: 'new', deletes: 'keep' },
      'pending and done must differ',
    ],
    ['combined of one', { technique: 'combined', version: { column: 'rev' }, deletes: 'keep' }, 'takes two or three'],
    [
      'combined by one column twice',
      {
        technique: 'combined',
        version: { column: 'mark' },
        status: { column: 'mark', pending: 0 },
        deletes: 'keep',
      },
      'names the column "mark" twice',
    ],
    ['a log with a policy for deletes', { technique: 'log', deletes: 'keep' }, 'there is no option "deletes"'],
    ['a stream that begins nowhere', { technique: 'trigger', start: 'later' }, "start is 'snapshot' or 'now'"],
  ])('%s is refused', (_, change, problem) => {
    expect(() => changesOf({ doc: change })).toThrow(problem)
  })

  it('a technique that the source does not have is refused, and those it has are named', () => {
    const log = { doc: { technique: 'log' } }
    expect(() => sqlite('a', { path: 'x', schema, changes: log as never })).toThrow(
      'its source does not have the technique "log"; use full, timestamp, version or combined',
    )
    expect(sourceOf(log, mysql).tables[0]?.change.technique).toBe('log')
  })

  it('every says how often a source is read', () => {
    expect(defOf(pg('a', { url: env('URL'), schema, every: '30s' })).everyMs).toBe(30_000)
    expect(defOf(pg('a', { url: env('URL'), schema })).everyMs).toBeUndefined()
    const endpoints = { o: { path: '/o', key: 'id', columns: { id: t.int() } } } as const
    expect(defOf(pg('a', { url: env('URL'), schema, compare: '10m' })).compareMs).toBe(600_000)
    expect(defOf(pg('a', { url: env('URL'), schema, compare: 'off' })).compareMs).toBeNull()
    expect(() => pg('a', { url: env('URL'), schema, compare: '0s' })).toThrow(
      "compare must be longer than nothing, or 'off'",
    )
    expect(() => pg('a', { url: env('URL'), schema, lagAlarmBytes: -1 })).toThrow(
      'lagAlarmBytes is a number of bytes over 0',
    )
    expect(defOf(http('a', { url: 'https://x', endpoints, every: '5m' })).everyMs).toBe(300_000)
    expect(() => pg('a', { url: env('URL'), schema, every: '0s' })).toThrow('longer than nothing')
  })

  it('a guard says what it does, and is refused where it would have nothing to do', () => {
    const guarded = { url: env('URL'), schema, changes: { doc: { technique: 'log' } } } as const
    expect(defOf(pg('a', { ...guarded, guard: { bytes: 5, then: 'drop' } })).guard).toEqual({ bytes: 5, then: 'drop' })
    const wrong: readonly (readonly [() => unknown, string])[] = [
      [() => pg('a', { ...guarded, guard: { bytes: 0, then: 'drop' } }), 'guard: bytes is a number over 0'],
      [() => pg('a', { ...guarded, guard: { bytes: 5, then: 'tell' as never } }), "guard: then is 'pause' or 'drop'"],
      [() => pg('a', { ...guarded, guard: { bytes: 5, then: 'drop', more: 1 } as never }), 'more'],
      [() => pg('a', { ...guarded, guard: 'drop' as never }), "guard: write { bytes: …, then: 'pause' }"],
      [
        () => pg('a', { url: env('URL'), schema, guard: { bytes: 5, then: 'pause' } }),
        'no table has the technique log',
      ],
      [() => mysql('a', { ...guarded, guard: { bytes: 5, then: 'pause' } }), 'technique trigger or event'],
      [
        () =>
          pg('a', {
            ...guarded,
            changes: { doc: { technique: 'event' } },
            guard: { bytes: 5, then: 'drop' },
          }),
        'an outbox belongs to the application and is never dropped',
      ],
    ]
    for (const [make, says] of wrong) expect(make).toThrow(says)
  })
})
