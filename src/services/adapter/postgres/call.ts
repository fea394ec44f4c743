import { fail } from '../../../core/errors.ts'
import { ident, joinSql, rawSql, renderSql, sql, type Sql } from '../../../core/sql.ts'
import { typeText, type ColumnDef } from '../../../core/types.ts'
import { postgresDialect } from '../../../systems/postgres/dialect.ts'
import type { Written } from '../contract-writes.ts'
import { nothingWritten } from '../written.ts'
import { readNative, readTypes, type CatalogColumn } from './catalog.ts'
import type { Connection, TextRow } from './connection.ts'
import type { Stage } from './stage.ts'
import { CALL_HINT } from './write-errors.ts'
import { castValue, fitOf, type WriteColumn } from './write-fit.ts'
import { refused, type TargetPlace, type WriteOrder, type WritePlan } from './write-plan.ts'

/** A procedure or a function that has the name. */
interface Routine extends TargetPlace {
  readonly kind: 'procedure' | 'function'
  /** With the types that it takes, as the server writes it. */
  readonly signature: string
  /** A function that the server does not run for a row with NULL. */
  readonly isStrict: boolean
  readonly mayExecute: boolean
  /** It gives values back through its arguments, or takes any number of them. */
  readonly isOdd: boolean
  /** Arguments at the end that may be left out. */
  readonly defaults: number
  readonly args: readonly (CatalogColumn & { readonly isPseudo: boolean })[]
}

/**
 * The plan for calling what has the name, with the columns as arguments in their order. Throws `WRITE_TARGET` with what it
 * takes when it is not one that takes them, `SOURCE_DENIED`.
 */
export async function planCall(
  connection: Connection,
  order: WriteOrder,
  signal: AbortSignal,
): Promise<{ readonly place: TargetPlace; readonly plan: WritePlan }> {
  const found = await readRoutines(connection, order, signal)
  if (found.length === 0) throw refused(order, 'there is no procedure or function of this name')
  const fitting = found.filter(routine => whyNot(order.columns, routine) === null)
  const [routine, another] = fitting
  if (routine === undefined) {
    const told = found.map(it => `${it.signature}: ${whyNot(order.columns, it)}`).join('; ')
    throw refused(order, `it does not take the columns: ${told}`)
  }
  if (another !== undefined) {
    const told = fitting.map(it => it.signature).join(' and ')
    throw refused(order, `several take the columns: ${told}`)
  }
  if (!routine.mayExecute) {
    const object = `${routine.kind} "${order.remote}"`
    throw fail('SOURCE_DENIED', { source: order.system, object, problem: 'the account has no EXECUTE privilege' })
  }
  const table = ident(routine.schema, routine.relation)
  const columns = order.columns.map((def, i) => argument(def, routine, i))
  const plan = { table, columns, others: [], isKeyUnique: false, isReferenced: false, routine: routine.kind }
  return { place: routine, plan }
}

function whyNot(columns: readonly ColumnDef[], { isOdd, args, defaults }: Routine): string | null {
  if (isOdd) return 'it gives values back through its arguments, or takes any number of them'
  if (columns.length > args.length || columns.length < args.length - defaults) {
    const least = defaults === 0 ? '' : `${args.length - defaults} to `
    return `it takes ${least}${args.length} arguments, of ${columns.length} columns`
  }
  for (const [i, def] of columns.entries()) {
    const arg = args[i] as Routine['args'][number]
    if (!arg.isPseudo && typeof fitOf(def, arg) === 'string') continue
    return `its argument ${i + 1} is ${arg.nativeType} and does not take "${def.name}", which is ${typeText(def.type)}`
  }
  return null
}

function argument(def: ColumnDef, { args, isStrict }: Routine, i: number): WriteColumn {
  const arg = args[i] as CatalogColumn
  const isChecked = fitOf(def, arg) === 'checked'
  return { name: def.name, type: def.type, native: arg.nativeType, isChecked, notNull: isStrict && def.nullable }
}

async function readRoutines(
  connection: Connection,
  { remote }: WriteOrder,
  signal: AbortSignal,
): Promise<readonly Routine[]> {
  // The modifier -1 keeps `character` from being one letter.
  const rows = await connection.query(
    sql`
    select p.oid, n.nspname, p.proname, p.prokind, p.oid::regprocedure::text, p.proisstrict,
      has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute'),
      p.provariadic <> 0 or (p.prokind = 'p' and coalesce(p.proargmodes && array['o', 'b']::"char"[], false)),
      p.pronargdefaults, a.type, format_type(a.type, -1), t.typtype = 'p'
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    left join lateral unnest(p.proargtypes::oid[]) with ordinality a(type, place) on true
    left join pg_type t on t.oid = a.type
    where p.prokind in ('p', 'f')
      and (n.nspname || '.' || p.proname = ${remote} or (n.nspname = 'public' and p.proname = ${remote}))
    order by p.oid, a.place`,
    signal,
  )
  const types = await readTypes(connection, signal)
  const oids = [...new Set(rows.map(row => row[0]))]
  return oids.map(oid => {
    const own = rows.filter(row => row[0] === oid)
    const [, schema, relation, kind, signature, ...facts] = own[0] as readonly string[]
    const [isStrict, mayExecute, isOdd] = facts.map(value => value === 't') as [boolean, boolean, boolean]
    const args = own.flatMap(row => (row[9] == null ? [] : [argOf(row, types)]))
    return {
      schema: schema as string,
      relation: relation as string,
      kind: kind === 'p' ? 'procedure' : 'function',
      signature: signature as string,
      isStrict,
      mayExecute,
      isOdd,
      defaults: Number(facts[3]),
      args,
    }
  })
}

function argOf(row: TextRow, types: Awaited<ReturnType<typeof readTypes>>): Routine['args'][number] {
  const [type, nativeType, isPseudo] = row.slice(9) as [string, string, string]
  const native = readNative(Number(type), -1, types)
  return {
    name: '',
    nullable: true,
    readable: true,
    personal: false,
    nativeType,
    ...native,
    isPseudo: isPseudo === 't',
  }
}

/** What the calls work with; every statement runs in the one transaction of the publish. */
interface Calls {
  readonly plan: WritePlan
  readonly stage: Stage
  query(statement: Sql): Promise<readonly TextRow[]>
  execute(statement: Sql): Promise<bigint>
}

/**
 * Calls the routine for each staged row, in the order they came, within the server. A row that it refuses ends all calls;
 * its place comes with the error: see `callError`.
 */
export async function callEach({ plan, stage, query, execute }: Calls): Promise<Written> {
  const verb = rawSql(plan.routine === 'procedure' ? 'call' : 'perform')
  const values = plan.columns.map((column, i) => sql`${castValue(column)} as ${ident(`a${i}`)}`)
  const args = joinSql(plan.columns.map((_, i) => sql`r.${ident(`a${i}`)}`))
  const block = sql`
    declare
      r record; in_unit text := ''; nth bigint := 0; told_state text; told text; told_detail text;
    begin
      for r in select ${joinSql(values)}, u.unit as of_unit
        from ${stage.rows} s join ${stage.units} u on u.place = s.${ident(stage.unitColumn.name)}
        order by u.place, s.ctid
      loop
        nth := case when r.of_unit = in_unit then nth else 0 end + 1;
        in_unit := r.of_unit;
        ${verb} ${plan.table}(${args});
      end loop;
    exception when others or assert_failure then
      get stacked diagnostics told_state = returned_sqlstate, told = message_text, told_detail = pg_exception_detail;
      raise exception using errcode = told_state, message = told, detail = coalesce(told_detail, ''),
        hint = ${CALL_HINT} || nth || ' of "' || in_unit || '"';
    end`
  await execute(sql`do ${renderSql(block, postgresDialect).text}`)
  const [row] = await query(sql`select coalesce(sum(rows), 0) from ${stage.units}`)
  return { ...nothingWritten, called: BigInt(row?.[0] ?? '0') }
}
