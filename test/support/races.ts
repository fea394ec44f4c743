import type { Client } from 'pg'
import { realEnv } from '../../src/core/env.ts'
import { implement, option, readOptions } from '../../src/core/implementation.ts'
import type { OwnAdapter } from '../../src/config/own-source.ts'
import type { RowFilter, Snapshot } from '../../src/services/adapter/contract.ts'
import { postgres } from '../../src/services/adapter/postgres/index.ts'
import { openAdapter } from '../../src/services/adapter/postgres/open.ts'
import { sqlite } from '../../src/services/adapter/sqlite/index.ts'
import { openAdapter as openSqlite } from '../../src/services/adapter/sqlite/open.ts'
import type { TestDatabase } from '../../src/testing/postgres/database.ts'
import { withSnapshots } from './instead.ts'

const { clock } = realEnv()

/** The table of the race: a time, a number and a flag, which every writer but the silent ones moves. */
export const raceTable = `
  drop table if exists race; drop sequence if exists race_rev;
  create sequence race_rev;
  create table race (
    id integer primary key, body text not null, rev bigint not null default nextval('race_rev'),
    at timestamptz not null default now(), state text not null default 'new');
  create index on race (rev); create index on race (at)`

/** What writers did, for those who compare. */
export interface Race {
  /** Keys that a silent writer changed. */
  readonly silent: ReadonlySet<number>
  readonly commits: number
}

export interface RaceOptions {
  readonly writers: number
  readonly ms: number
  /** Writers go on after `ms` while this says so. */
  readonly goesOn?: () => boolean
  /** Share of updates that move neither time nor number. */
  readonly silent?: number
}

/**
 * Several writers at once, each with keys of its own: a quarter inserts, the rest updates and deletes. One in eight
 * transactions stays open for half a second to two and a half, with its time and its numbers taken at its beginning.
 */
export async function race(database: TestDatabase, options: RaceOptions): Promise<Race> {
  const silent = new Set<number>()
  const until = clock.monotonicMs() + options.ms
  const commits = await Promise.all(
    Array.from({ length: options.writers }, async (_, writer) =>
      write(await database.connect(), { writer, until, silent, options }),
    ),
  )
  return { silent, commits: commits.reduce((a, b) => a + b, 0) }
}

interface Writing {
  readonly writer: number
  readonly until: number
  readonly silent: Set<number>
  readonly options: RaceOptions
}

async function write(client: Client, { writer, until, silent, options }: Writing): Promise<number> {
  const next = randomOf(writer + 1)
  const keys: number[] = []
  let [commits, made] = [0, 0]
  while (clock.monotonicMs() < until || options.goesOn?.() === true) {
    await client.query('begin')
    for (let i = next(3) + 1; i > 0; i--) {
      const dice = next(100)
      const id = keys[next(Math.max(1, keys.length))]
      if (dice < 25 || id === undefined) {
        const fresh = writer * 1_000_000 + ++made
        await client.query('insert into race (id, body) values ($1, $2)', [fresh, `made ${fresh}`])
        keys.push(fresh)
      } else if (dice < 85) {
        const isSilent = next(1000) < (options.silent ?? 0) * 1000
        if (isSilent) silent.add(id)
        const moved = isSilent ? '' : `, at = now(), rev = nextval('race_rev')`
        await client.query(`update race set body = $2${moved} where id = $1`, [id, `v ${dice} ${commits}`])
      } else {
        await client.query('delete from race where id = $1', [id])
        keys.splice(keys.indexOf(id), 1)
      }
    }
    if (next(8) === 0) await clock.sleep(500 + next(2000))
    await client.query('commit')
    commits += 1
    await clock.sleep(5 + next(30))
  }
  return commits
}

/** Numbers below a limit, the same for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return (state >> 8) % below
  }
}

/** How a copy differs from its source. */
export interface Differences {
  readonly missing: readonly number[]
  readonly stale: readonly number[]
  /** Deleted in the source and still in the copy. */
  readonly ghosts: readonly number[]
}

/** Compares two tables by key. */
export function differencesOf(source: ReadonlyMap<number, string>, copy: ReadonlyMap<number, string>): Differences {
  const keys = [...source.keys()]
  return {
    missing: keys.filter(id => !copy.has(id)),
    stale: keys.filter(id => copy.has(id) && copy.get(id) !== source.get(id)),
    ghosts: [...copy.keys()].filter(id => !source.has(id)),
  }
}

/** A deliberate bug of a reader. `no horizon`: it goes on from its view. `behind`: it takes `>` for `>=`. */
export type Bug = 'no horizon' | 'behind'

/** An adapter with a bug: the suite has to find it. */
export function broken(bug: Bug, kind: 'postgres' | 'sqlite'): OwnAdapter<{ readonly path: typeof path }> {
  return implement({
    service: 'adapter',
    kind: `broken_${kind}`,
    summary: 'A reader with a bug.',
    needs: {},
    options: { path },
    open: async () => ({
      openAdapter: async given => {
        const at = String(given.options['path'])
        const url = { kind: 'secret', from: 'env', name: at } as const
        const adapter =
          kind === 'postgres'
            ? await openAdapter({ ...given, options: readOptions(postgres.options, { url }, 'the race') })
            : await openSqlite({ ...given, options: readOptions(sqlite.options, { path: at }, 'the race') })
        return withSnapshots(adapter, snapshot => buggy(bug, snapshot))
      },
    }),
  })
}
const path = option.required.text('Where the source is.')

/** What a snapshot does otherwise for a bug. */
function buggy(bug: Bug, snapshot: Snapshot): Partial<Snapshot> {
  if (bug === 'no horizon') return { horizonMicros: snapshot.takenAtMicros }
  const later = (filter: RowFilter): RowFilter => {
    const { since, changed } = filter
    return {
      ...filter,
      since: since === undefined ? undefined : { ...since, atLeastMicros: since.atLeastMicros + 1n },
      changed: changed?.map(mark => (mark.kind === 'version' ? { ...mark, atLeast: mark.atLeast + 1n } : mark)),
    }
  }
  return {
    read: (table, columns, filter, signal) => snapshot.read(table, columns, later(filter), signal),
    totals: (table, filter, options, signal) => snapshot.totals(table, later(filter), options, signal),
  }
}
