/** How large a generated project is. */
export interface Size {
  readonly tables: number
  readonly columns: number
  readonly facts: number
  readonly summaries: number
  /** Dimensions of each fact. */
  readonly roles: number
}

const types = ['t.text()', 't.int()', 't.decimal(12, 2)', 't.timestamp()', 't.bool().null()', "t.enum('a', 'b', 'c')"]

/** A schema module and a config that use it: an entity, an export and a dimension for each table, facts and summaries. */
export function generateProject(size: Size): { readonly schema: string; readonly config: string } {
  return { schema: schemaText(size), config: configText(size) }
}

function schemaText({ tables, columns }: Size): string {
  const table = (n: number): string =>
    `  t${n}: { key: ['id'], columns: { id: t.int(), fk: t.int(), ${listed(columns, i => `c${i}: ${typeOf(i)}`)} } },`
  return ["import { t } from 'naru'", 'export const schema = {', ...times(tables, table), '} as const', ''].join('\n')
}

function configText(size: Size): string {
  const { tables, columns, facts, summaries, roles } = size
  const entity = (n: number): string => `
const e${n} = ods
  .entity('e${n}', { key: 'id', columns: { id: t.int(), fk: t.int(), ${listed(columns, i => `k${i}: ${typeOf(i)}`)} } })
  .from(s.t${n}, r => ({ id: r.id, fk: r.fk, ${listed(columns, i => `k${i}: r.c${i}`)} }))
  .rules({ k3: rule.required(), '*': e => rule.unique(e.id, e.k2).warn() })
  .cleanse({ k6: e => e.k6.trim() })
  .conflicts({ '*': prefer.first('s') })
const x${n} = ods.export('x${n}', e${n}, { mask: { k12: mask.drop() } })
const d${n} = dw.dimension('d${n}', x${n}, { type2: ['k2'] })`
  const fact = (n: number): string => `
const f${n} = dw.fact('f${n}', x${n % tables}, {
  grain: 'id',
  at: 'k3',
  dims: { ${times(roles, i => `q${i}: d${(n * roles + i) % tables}.by('fk')`).join(', ')} },
})`
  const summary = (n: number): string => `
const m${n} = dw.summary('m${n}', f${n % facts}, {
  by: f => ({ year: f.k3.year(), a: f.q0.k2, b: f.q${roles - 1}.k5 }),
  get: f => ({ v: f.k8.sum(), n: f.id.countDistinct(), rows: f.count() }),
})`
  return [
    "import { defineConfig, duckdb, dw, env, mask, ods, pg, prefer, rule, t } from 'naru'",
    "import { schema } from './schema.js'",
    "const s = pg('s', { url: env('URL'), schema, changes: { '*': { technique: 'timestamp', column: 'c3', deletes: 'keep' } } })",
    ...times(tables, entity),
    ...times(facts, fact),
    ...times(summaries, summary),
    `export default defineConfig({ engine: duckdb({ path: 'x.duckdb' }), models: [${times(summaries, n => `m${n}`).join(', ')}] })`,
    '',
  ].join('\n')
}

/** The kinds by turns; one column of each table is personal. */
function typeOf(i: number): string {
  return i === 12 ? 't.text().pii()' : (types[i % types.length] as string)
}

function times(count: number, make: (n: number) => string): string[] {
  return Array.from({ length: count }, (_, n) => make(n))
}

/** Columns 2 to the last: the first two are the key and a foreign key. */
function listed(columns: number, make: (i: number) => string): string {
  return times(columns - 2, n => make(n + 2)).join(', ')
}
