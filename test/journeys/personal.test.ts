import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Database } from 'node-sqlite3-wasm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Ended } from '../support/command.ts'
import { startSystems, type Shop, type Systems } from '../support/shop.ts'

/** Every personal value holds one of these, in a form of its own: text, a whole number, a day. */
const canaries = ['zqcanary', '918273645', '1911-03-17']

/** Three sources that carry personal data in every column that has a person's, keys included. */
const config = `import { defineConfig, duckdb, dw, env, files, mask, none, ods, pg, prefer, rule, sqlite, t } from 'naru'

const ops = pg('ops', {
  url: env('OPS_URL'),
  chunkRows: 2,
  maxValueBytes: 20_000,
  schema: {
    staff: {
      key: ['email'],
      columns: {
        email: t.text().pii(), name: t.text().null().pii(), phone: t.text().null().pii(), born: t.date().null().pii(),
        salary: t.int().null().pii(), town: t.text().null(),
      },
    },
  },
})
const club = files('club', {
  folder: 'inbox',
  tables: {
    member: {
      glob: 'member*.csv', key: 'email', scope: 'delta',
      columns: { email: t.text().pii(), name: t.text().pii(), phone: t.text().pii(), born: t.date().pii(), salary: t.int().pii() },
    },
  },
})
const desk = sqlite('desk', {
  path: 'desk.sqlite',
  schema: {
    visit: { key: ['id'], columns: { id: t.big(), visitor: t.text().null().pii(), age: t.text().null().pii(), day: t.text() } },
  },
})

const person = ods
  .entity('person', {
    key: 'email',
    columns: {
      email: t.text().pii(), name: t.text().null().pii(), phone: t.text().null().pii(), born: t.date().null().pii(),
      salary: t.int().null().pii(), town: t.text().null(),
    },
  })
  .from(ops.staff, r => ({ ...r }))
  .from(club.member, r => ({ ...r, town: none }))
  .match(desk.visit, r => ({ name: r.visitor }), { compare: { name: ['name'] } })
  .rules({
    phone: rule.pattern(/^[+0-9a-z ]+$/i),
    salary: rule.range(0, 920_000_000),
    name: rule.required().warn(),
    '*': e => rule.unique(e.phone).warn(),
  })
  .cleanse({ name: e => e.name.normalize(), phone: e => e.phone.trim() })
  .conflicts({ '*': prefer.first('ops', 'club', 'desk'), phone: prefer.agree('null') })
const visit = ods
  .entity('visit', {
    key: 'id',
    columns: { id: t.big(), visitor: t.text().null().pii(), age: t.int().null().pii(), person: t.text().null().pii(), day: t.date() },
  })
  .from(desk.visit, r => ({ ...r, age: r.age.as(t.int()), day: r.day.as(t.date()), person: person.resolve('desk', r) }))
  .rules({ visitor: rule.pattern(/^[^!]+$/) })

const hidden = mask.hash(env('MASK_KEY'))
const people = ods.export('person', person, {
  mask: { email: hidden, name: mask.redact(), phone: mask.keepLast(1), born: mask.drop(), salary: mask.bucket(1_000_000_000) },
})
const visits = ods.export('visit', visit, { mask: { visitor: mask.drop(), age: mask.drop(), person: hidden } })
const dPerson = dw.dimension('person', people, { type2: ['town'] })
const fact = dw.fact('visit', visits, { grain: 'id', at: 'day', dims: { person: dPerson.by('person') } })
const byTown = dw.summary('by_town', fact, { by: f => ({ town: f.person.town }), get: f => ({ visits: f.count() }) })

export default defineConfig({ name: 'people', engine: duckdb({ path: 'data.duckdb' }), models: { byTown } })
`

let systems: Systems
let shop: Shop

beforeAll(async () => {
  systems = await startSystems()
  shop = await systems.shop({ config })
  await mkdir(path.join(shop.folder, 'inbox'))
  await shop.db.query(`
    create table staff (email text primary key, name text, phone text, born date, salary integer, town text);
    insert into staff values
      ('a@zqcanary.test', 'Zqcanary  Ann ', ' +82 zqcanary 1', '1911-03-17', 918273645, 'Seoul'),
      ('b@zqcanary.test', 'Zqcanary Bob', 'zqcanary!!', '1911-03-17', 918273645, 'Busan'), -- breaks phone.pattern
      ('c@zqcanary.test', null, ' +82 zqcanary 1', null, 918273645, 'Busan'), -- warned: no name, phone twice
      ('d@zqcanary.test', 'Zqcanary ' || repeat('long ', 9000), null, null, 1, 'Jeju'), -- over the limit
      ('e@zqcanary.test', 'Zqcanary Eve', '+82 zqcanary 5', 'infinity', 918273645, 'Jeju')`)
  const database = new Database(path.join(shop.folder, 'desk.sqlite'))
  database.exec(`
    create table visit (id integer primary key, visitor text, age text, day text);
    insert into visit values (1, 'Zqcanary Ann', '918273645', '2026-01-01'), (2, 'Zqcanary! Bo', '7', '2026-01-01'), (3, 'zqcanary eve', 'zqcanary old', '2026-01-02')`)
  database.close()
})
afterAll(() => systems.stop())

const header = 'email,name,phone,born,salary'

async function put(name: string, ...lines: readonly string[]): Promise<void> {
  const file = path.join(shop.folder, 'inbox', name)
  await writeFile(file, `${[header, ...lines].join('\n')}\n`)
  const at = new Date('2026-01-01')
  await utimes(file, at, at)
}

function expectNone(text: string, where: string): void {
  const lower = text.toLowerCase()
  for (const canary of canaries) {
    const at = lower.indexOf(canary)
    expect(at === -1 ? 'nothing' : text.slice(Math.max(0, at - 100), at + 60), where).toBe('nothing')
  }
}

/** Runs a command; whatever it says holds no canary. */
async function quiet(...args: readonly string[]): Promise<Ended> {
  const ended = await shop.naru(args)
  expectNone(ended.stdout, `standard output of naru ${args.join(' ')}`)
  expectNone(ended.stderr, `standard error of naru ${args.join(' ')}`)
  return ended
}

/**
 * Looks into every table that may leave or is shown to people. The crosswalk is none of them: it is what entities are
 * resolved by, so it holds their keys as they are, and `naru sql` masks it.
 */
async function expectNoneInTables(): Promise<void> {
  const tables = await shop.rows(`
    select table_schema || '."' || table_name || '"' as name from information_schema.tables
    where table_schema in ('naru', 'export', 'dw', 'mart') and table_name <> 'crosswalk' order by all`)
  expect(tables.length).toBeGreaterThan(20)
  for (const { name } of tables) {
    const rows = await shop.rows(`select cast(t as varchar) as text from ${String(name)} t`)
    expectNone(rows.map(({ text }) => String(text)).join('\n'), String(name))
  }
}

async function expectNoneInFiles(folder: string): Promise<void> {
  for (const entry of await readdir(path.join(shop.folder, folder), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) expectNone(await readFile(path.join(entry.parentPath, entry.name), 'latin1'), entry.name)
  }
}

describe('personal values stay where they are needed', () => {
  test('through a run with rejects, quarantine, corrections, conflicts and matches', async () => {
    await put(
      'member1.csv',
      'a@zqcanary.test,Zqcanary Anna,+82 zqcanary 9,1911-03-17,918273645', // disagrees with ops
      'f@zqcanary.test,Zqcanary Fay,+82 zqcanary 6,1911-03-17 zqcanary,918273645', // no date
      'g@zqcanary.test,Zqcanary Gus,+82 zqcanary 7,1911-03-17,zqcanary', // no number
      'h@zqcanary.test,Zqcanary Hal', // ragged
      'i@zqcanary.test,"Zqcanary" Ida,x,1911-03-17,918273645', // a bad quote
      ',Zqcanary Jon,+82 zqcanary 8,1911-03-17,918273645', // no key
      'k@zqcanary.test,Zqcanary Kim,+82 zqcanary 3,1911-03-17,918273645',
      'k@zqcanary.test,Zqcanary Kim,+82 zqcanary 4,1911-03-17,918273645', // the same key again
      `l@zqcanary.test,Zqcanary ${'long '.repeat(300_000)},x,1911-03-17,918273645`, // too long
    )
    const ended = await quiet('run', '--json')
    expect(ended.status, ended.stderr).toBe(0)
    const counts = await shop.rows(`
      select (select count(*) from naru.reject) > 4 as rejects, (select count(*) from naru.quarantine) > 3 as quarantine,
        (select count(*) from naru.correction) > 0 as corrections, (select count(*) from naru.conflict) > 0 as conflicts,
        (select count(*) from naru.crosswalk where contributor = 'desk') > 0 as matches`)
    expect(counts).toEqual([{ rejects: true, quarantine: true, corrections: true, conflicts: true, matches: true }])
    await expectNoneInTables()
    await expectNoneInFiles('.naru')
  })

  test('in the report, and in what every command says', async () => {
    expect((await quiet('report', '--out', 'public')).status).toBe(0)
    await expectNoneInFiles('public')
    await Promise.all([quiet('status'), quiet('check'), quiet('plan'), quiet('lineage', 'dw.fact_visit')])
    const list = await quiet('quarantine', 'list')
    const key = /person\s+ops\s+(\S+)/.exec(list.stdout)?.[1] ?? ''
    expect(key).toMatch(/^#/)
    expect((await quiet('quarantine', 'show', 'person', key)).status).toBe(0)
    expect((await quiet('quarantine', 'fix', 'person', key, 'phone', '1')).stderr).toContain('[QUARANTINE_FIX]')
    expect((await quiet('quarantine', 'recycle', 'person', key)).status).toBe(0)
    const tables = ['staging.ops_staff', 'staging.club_member', 'cleansed.person_club', 'ods.person', 'naru.crosswalk']
    const queries = [...tables.map(name => `select * from ${name}`), 'select max(t::varchar) from ods.visit t']
    await Promise.all(queries.map(query => quiet('sql', query)))
  })

  test('when things break', async () => {
    // A version that is held back, a rule over its limit, a value that no longer fits its type, a table that changed.
    await shop.db.query("update staff set phone = 'zqcanary??', name = 'Zqcanary Anne' where email like 'a@%'")
    expect((await quiet('run')).status).toBe(0)
    await shop.configure(config.replace('rule.pattern(/^[+0-9a-z ]+$/i)', 'rule.pattern(/^[0-9]+$/).limit(0)'))
    await shop.db.query("update staff set town = 'Ulsan'")
    expect((await quiet('run')).stderr).toContain('[REJECT_LIMIT]')
    await shop.configure(config.replace('salary: t.int().null().pii(), town', 'salary: t.text().null().pii(), town'))
    expect((await quiet('run', 'ops')).stderr).toContain('[SOURCE_TYPE_CHANGED]')
    await shop.configure(config)
    await shop.db.query('alter table staff alter salary type numeric')
    expect((await quiet('run', 'ops')).stderr).toContain('[SOURCE_TYPE_CHANGED]')
    await shop.db.query('alter table staff alter salary type integer')
    expect((await quiet('sql', 'select cast(name as integer) from ods.person')).status).toBe(2)
    expect((await quiet('run')).status).toBe(0)
    await expectNoneInTables()
    await expectNoneInFiles('.naru')
    expect((await quiet('report', '--out', 'public')).status).toBe(0)
    await expectNoneInFiles('public')
  })
})
