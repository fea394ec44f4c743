import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realEnv } from '../core/env.ts'
import { renderSql, sql, type Sql } from '../core/sql.ts'
import type { Project } from '../config/model.ts'
import type { Engine, Transaction } from '../services/engine/contract.ts'
import { never } from '../testing/engine.ts'
import { buildReport, renderReport, writeReport, type QualityReport } from './index.ts'
import { column, emptyMarket, fillMarket, insert, market } from './market.test.support.ts'
import { payloads } from './payloads.test.support.ts'

let engine: Engine
let report: QualityReport

beforeAll(async () => {
  engine = await emptyMarket()
  report = await engine.transaction(never, async tx => {
    await fillMarket(tx)
    return buildReport(tx, market)
  })
})

afterAll(() => engine.close())

/** Does `body` on the filled tables, and takes back what it changed. */
async function onMarket<T>(body: (tx: Transaction) => Promise<T>): Promise<T> {
  let result: { readonly value: T } | undefined
  const undo = new Error('taken back')
  await engine
    .transaction(never, async tx => {
      result = { value: await body(tx) }
      throw undo
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error
    })
  return (result as { readonly value: T }).value
}

describe('the report as data', () => {
  test('is of the last run that ended, and an earlier one can be asked for', async () => {
    expect(report.run).toMatchObject({
      run: 2,
      state: 'done',
      began: '2024-03-02 00:00:00',
      seconds: 4.2,
      rowsRead: 12,
    })
    const first = await engine.transaction(never, tx => buildReport(tx, market, 1n))
    expect(first.run).toMatchObject({ run: 1, rowsRead: 1238, rowsRejected: 2 })
    expect(first.tables[0]?.load).toMatchObject({ load: 1, inThisRun: true })
  })

  test('a run that has not ended cannot be reported', async () => {
    await expect(engine.transaction(never, tx => buildReport(tx, market, 9n))).rejects.toMatchObject({
      code: 'REPORT_NO_RUN',
    })
    const empty = await emptyMarket()
    await expect(empty.transaction(never, tx => buildReport(tx, market))).rejects.toMatchObject({
      code: 'REPORT_NO_RUN',
    })
    await empty.close()
  })

  test('a failed run is reported with its error', async () => {
    const failed = await onMarket(async tx => {
      await insert(tx, 'run', `3, 'failed', 0, 0, 1000, 'host', 9, 'REJECT_LIMIT', 'too many'`)
      await insert(
        tx,
        'load',
        `4, 'shop', 'orders', 'delta', 'timestamp', 'abandoned', 0, 0, 0, false, 0, 5, 0, 3, null, null, null, null, null, null, null, null, null`,
      )
      await insert(tx, 'control_total', `4, 'shop', 'orders', '', 'rows', '6', '5', false, null`)
      return buildReport(tx, market)
    })
    expect(failed.run.error).toEqual({ code: 'REJECT_LIMIT', text: 'too many' })
    expect(failed.tables[0]?.load).toMatchObject({ load: 4, state: 'abandoned', inThisRun: true })
    expect(failed.findings.slice(0, 2).map(it => it.level)).toEqual(['bad', 'bad'])
    expect(renderReport(failed)).toContain('Do not use this data')
  })

  test('a table without a load in the run shows its last published load, and says so', () => {
    expect(report.tables.map(it => it.load)).toMatchObject([
      { load: 3, run: 2, inThisRun: true, rowsRead: 12 },
      { load: 2, run: 1, inThisRun: false, rowsRead: 38, rowsRejected: 2 },
    ])
    expect(report.tables[1]?.profile).toMatchObject({ run: 1, inThisRun: false, scope: 'all' })
    expect(renderReport(report)).toContain('of run 1: this run read nothing')
  })

  test('both ends of every control, with dates as dates', () => {
    const [orders] = report.tables
    expect(orders?.controls.map(it => [it.column, it.measure, it.source, it.staged, it.equal])).toEqual([
      ['', 'rows', '12', '12', true],
      ['buyer', 'count', '12', '12', true],
      ['buyer', 'max', '***', '***', true],
      ['amount', 'sum', '1520.50', '1520.5', true],
      ['placed', 'max', '2024-03-01', '2024-03-01', true],
    ])
  })

  test('rejects by reason with file and line, and files by what became of them', () => {
    const stalls = report.tables[1]
    expect(stalls?.rejects).toMatchObject([
      { reason: 'CSV_RAGGED', rows: { of: 2, shown: [{ file: 'stalls-03.csv', line: 17 }, { line: 21 }] } },
    ])
    expect(stalls?.files?.counts).toEqual([
      { state: 'duplicate', files: 1 },
      { state: 'loaded', files: 1 },
      { state: 'refused', files: 1 },
    ])
    expect(stalls?.files?.files.shown[0]).toMatchObject({ name: 'stalls-04.csv', state: 'refused', inThisRun: false })
  })

  test('statistics of every column, and what moved since the run before', () => {
    const amount = report.tables[0]?.profile?.columns.find(it => it.column === 'amount')
    expect(amount).toMatchObject({ type: 'decimal(12,2)', nulls: 3, distinctAbout: 8, histogram: { width: 250 } })
    expect(amount?.drift).toMatchObject({ previousRun: 1, nullShareChange: 0.25 })
    expect(amount?.drift?.meanChangeInStddev).toBeCloseTo(7.155)
  })

  test('every rule before and after repair', () => {
    const rule = report.rules.find(it => it.rule === 'amount.range')
    expect(rule).toMatchObject({
      asks: 'from 0 to 5000',
      limitRows: 20,
      before: { rowsFailed: 9, keys: { of: 9 } },
      after: { rowsFailed: 7, keys: { shown: ['1', '2', '3', '4', '5'], of: 7 } },
    })
    expect(report.rules.find(it => it.rule === 'opened.cast')).toMatchObject({ inThisRun: false, before: null })
  })

  test('a list that is cut says of how many it is', () => {
    const [quarantine] = report.quarantine
    expect(quarantine).toMatchObject({ rows: 7, newInThisRun: 7, held: 1 })
    expect(quarantine?.rules.map(it => [it.rule, it.rows.shown.length, it.rows.of])).toEqual([
      ['amount.range', 5, 7],
      ['city.oneOf', 1, 1],
    ])
    const page = renderReport(report)
    expect(page).toContain('Rows that broke amount.range: 5 of 7 rows')
    expect(page).toContain('Rows that broke city.oneOf: 1 row')
    expect(page).toContain('5 of 7 keys')
  })

  test('samples stay short whatever the tables hold', async () => {
    const large = await onMarket(async tx => {
      await tx.execute(sql`
        insert into naru.reject select 2, 1, 'guild', 'stalls', 'CSV_RAGGED', repeat('가', 500), null, 'f', range, 0, ''
        from range(30000)`)
      await tx.execute(sql`
        insert into naru.correction select 2, 3, 'order', 'shop', range, 'city', 'cleanse', range, range + 1 from range(30000)`)
      await tx.execute(sql`
        insert into naru.conflict select 1, 'stall', range, 'city', 'guild', 'first', '[]' from range(30000)`)
      return buildReport(tx, market)
    })
    expect(large.tables[1]?.rejects[0]?.rows).toMatchObject({ of: 30_002, shown: { length: 5 } })
    expect(large.tables[1]?.rejects[0]?.rows.shown[0]?.detail).toBe(`${'가'.repeat(200)}… (500 characters)`)
    expect(large.corrections[0]?.changes).toMatchObject({ of: 30_002, shown: { length: 5 } })
    expect(renderReport(large)).toContain('5 of 30,002 rows')
    expect(JSON.stringify(large).length).toBeLessThan(60_000)
  })

  test('corrections, matches, conflicts, exports and the warehouse', () => {
    expect(report.corrections[0]).toMatchObject({ column: 'city', cells: 3, newInThisRun: 2 })
    expect(report.corrections[0]?.changes.shown[0]).toEqual({ before: 'seoul', after: 'Seoul', cells: 2, key: '11' })
    expect(report.matches.map(it => [it.entity, it.by, it.matched, it.unmatched])).toEqual([
      ['stall', 'key', 1, 0],
      ['buyer', 'likeness', 2, 1],
    ])
    expect(report.conflicts.find(it => it.entity === 'stall')).toMatchObject({
      cells: 2,
      samples: {
        shown: [
          { key: 'B2', winner: null },
          { key: 'A1', winner: 'guild' },
        ],
      },
    })
    expect(report.exports).toMatchObject([
      {
        name: 'order',
        rows: 1192,
        masks: [
          { column: 'buyer', personal: true },
          { column: 'amount', personal: false },
        ],
      },
    ])
    expect(report.warehouse.facts[0]?.measures.map(it => it.measure)).toEqual(['rows', 'sum(amount)'])
    expect(report.warehouse.restatements[0]?.rows.shown[0]?.changes).toEqual([
      { column: 'city', before: 'Seul', after: 'Seoul' },
    ])
  })
})

describe('personal values', () => {
  test('are on no page, even where a control table holds one', async () => {
    const leaky = await onMarket(async tx => {
      await insert(tx, 'reject', `3, 1, 'shop', 'orders', 'VALUE', 'CANARY', '["CANARY"]', null, null, 9, 'CANARY'`)
      return buildReport(tx, market)
    })
    expect(JSON.stringify(leaky)).not.toContain('CANARY')
    expect(renderReport(leaky)).not.toContain('CANARY')
    expect(leaky.tables[0]?.rejects[0]?.rows.shown[0]).toMatchObject({ key: '***', detail: '***' })
  })

  test('what the config no longer names is left out, for nobody says that it is not personal', async () => {
    const project: Project = { ...market, sources: market.sources.slice(1), entities: [] }
    const less = await engine.transaction(never, tx => buildReport(tx, project))
    expect(JSON.stringify(less)).not.toContain('CANARY')
    expect(less.quarantine.length + less.corrections.length + less.conflicts.length).toBe(0)
  })

  test('data tables are counted and never read', async () => {
    const statements: string[] = []
    await engine.transaction(never, tx => {
      const rows = (statement: Sql): ReturnType<Transaction['rows']> => {
        statements.push(renderSql(statement, tx.dialect).text.trim())
        return tx.rows(statement)
      }
      return buildReport({ ...tx, dialect: tx.dialect, exists: table => tx.exists(table), rows }, market)
    })
    const data = statements.filter(text => /"(staging|cleansed|ods|export|dw|mart)"/.test(text))
    expect(data.length).toBeGreaterThan(3)
    for (const text of data) expect(text).toMatch(/^select count\(\*\) as n from "\w+"\."\w+"$/)
  })
})

describe('the page', () => {
  test('is the same for the same report', async () => {
    const golden = path.resolve(import.meta.dirname, '../../test/golden/quality-report.html')
    const page = renderReport(report)
    // Renewed by: UPDATE_GOLDEN=1 npx vitest run src/report
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(golden, page)
    expect(page).toBe(await readFile(golden, 'utf8'))
  })

  test('asks nothing of a network and runs no script', () => {
    const page = renderReport(report)
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"`)
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|https?:|\son\w+=/i)
    expect(new Set([...page.matchAll(/href="(.)/g)].map(match => match[1]))).toEqual(new Set(['#']))
  })

  test('every link of the page has its place', () => {
    const page = renderReport(report)
    const ids = new Set([...page.matchAll(/ id="([^"]+)"/g)].map(match => match[1]))
    for (const [, target] of page.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(target)
  })

  test('fits a phone: tables scroll in their box, nothing else is wide', () => {
    const page = renderReport(report)
    expect(page).toContain('<meta name="viewport" content="width=device-width, initial-scale=1" />')
    const boxes = page.match(/<div class="scroll"[^>]*>\s*<table/g) ?? []
    expect(boxes.length).toBe((page.match(/<table/g) ?? []).length)
    expect(page).toMatch(/\.scroll \{ overflow-x: auto/)
    // 360 px less the page's padding; a width that only a wider screen gets stands in a media query.
    const always = page.slice(page.indexOf('<style>'), page.indexOf('@media (min-width'))
    const fixed = [...always.matchAll(/(?<![\w-])(?:min-)?width: (\d+)px/g)].map(match => Number(match[1]))
    expect(fixed.filter(width => width > 328)).toEqual([])
  })

  test('can be read without seeing it', () => {
    const page = renderReport(report)
    const tables = page
      .split('<table')
      .slice(1)
      .map(rest => rest.slice(0, rest.indexOf('</table>')))
    for (const table of tables) {
      expect(table).toMatch(/<caption>\s*\S/)
      expect(table).not.toMatch(/<th(?![^>]*scope=)[ >]/)
    }
    expect(page).not.toMatch(/<svg(?![^>]*aria-label=)/)
    const levels = [...page.matchAll(/<h([1-6])/g)].map(match => Number(match[1]))
    expect(levels[0]).toBe(1)
    levels.forEach((level, i) => expect(level).toBeLessThanOrEqual((levels[i - 1] ?? 0) + 1))
  })

  test('an empty project has a page too', async () => {
    const bare: Project = { ...market, sources: [], entities: [], exports: [], facts: [] }
    const page = renderReport(await engine.transaction(never, tx => buildReport(tx, bare)))
    expect(page).toContain('The project has no source tables.')
  })
})

describe('text of the data', () => {
  /** Tags with the names of their attributes: what the browser makes of the page. */
  function structure(page: string): string {
    const tags = page.match(/<(?:"[^"]*"|'[^']*'|[^'">])*>/g) ?? []
    return tags.map(tag => tag.replace(/"[^"]*"/g, '""')).join('\n')
  }

  /** The report with every text that comes from data or names replaced. */
  function withTexts(value: unknown, text: string, key = ''): unknown {
    const ours = ['level', 'section', 'stage', 'unit', 'state', 'severity', 'by', 'scope', 'measure', 'source']
    if (typeof value === 'string') return ours.includes(key) ? value : text
    if (Array.isArray(value)) return value.map(inner => withTexts(inner, text, key))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withTexts(inner, text, name)]))
  }

  test.each(payloads.map((payload, i) => [i, payload] as const))('payload %i makes no markup', (_, payload) => {
    const harmless = renderReport(withTexts(report, 'x') as QualityReport)
    const page = renderReport(withTexts(report, payload) as QualityReport)
    expect(structure(page)).toBe(structure(harmless))
    // eslint-disable-next-line no-control-regex
    expect(page).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/)
  })

  test('payloads as names of tables, columns and rules, through the database', async () => {
    // No engine keeps a NUL in a text.
    const names = payloads.map(payload => payload.replaceAll('\0', ''))
    const columns = names.map(name => column(name))
    const [source] = market.sources
    const [table] = source?.tables ?? []
    const hostile = { ...table, name: names[0], columns, key: [names[1]] }
    const project = { ...market, name: names[2], sources: [{ ...source, tables: [hostile] }] } as unknown as Project
    const page = await onMarket(async tx => {
      for (const payload of names) {
        const top = JSON.stringify([{ value: payload, count: 1 }])
        await tx.execute(sql`
          insert into naru.profile values (2, 'shop', ${names[0] as string}, ${payload}, 'all', 1, 0, 1, ${payload}, ${payload},
            1, 1, ${null}, ${null}, ${null}, ${top}, ${null}, ${null})`)
      }
      return renderReport(await buildReport(tx, project))
    })
    expect(page).toContain('&lt;script&gt;')
    expect(page).not.toMatch(/<(script|img|iframe|a href="(?!#))/)
    expect(page.match(/<th scope="row">/g)?.length).toBeGreaterThan(names.length)
  })

  test('what cannot be seen is shown, NULL and the empty text are told apart', () => {
    const page = renderReport(withTexts(report, 'a\u202eb\u0000c\nd\u00a0e\ud800') as QualityReport)
    expect(page).toContain('a\\u202eb\\u0000c\\nd\\u00a0e\\ud800')
    expect(renderReport(report)).toContain('<span class="none">NULL</span>')
    expect(renderReport(report)).toContain('<span class="none">empty</span>')
    expect(renderReport(report)).toContain('서울')
  })
})

test('both files are written, and the folder is made', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'report-'))
  try {
    const paths = await writeReport(realEnv(), path.join(folder, 'a', 'b'), report)
    expect(paths).toEqual({
      html: path.join(folder, 'a', 'b', 'report.html'),
      json: path.join(folder, 'a', 'b', 'report.json'),
    })
    expect(JSON.parse(await readFile(paths.json, 'utf8'))).toEqual(report)
    expect(await readFile(paths.html, 'utf8')).toBe(renderReport(report))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
