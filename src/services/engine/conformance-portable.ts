import assert from 'node:assert/strict'
import { sql, type Sql } from '../../core/sql.ts'
import { signal, type GroupedPromise, type PromiseGroup } from './conformance-support.ts'
import type { Cell, Engine } from './contract.ts'

type Rows = readonly (readonly Cell[])[]

interface Portable {
  readonly group: PromiseGroup
  readonly name: string
  /** Statements to run first. */
  readonly given?: readonly Sql[]
  readonly query: Sql
  readonly rows: Rows
}

const people = [
  sql`create table p (id integer, name varchar, born date, score decimal(6, 2), held boolean)`,
  sql`insert into p values (1, 'ä', '2001-02-03', 1.50, true), (2, 'Z', null, -2.25, false), (3, null, '1999-12-31', null, null),
    (4, 'a', '2001-02-03', 1.50, true)`,
]

/** The SQL that stages write around expressions: each form that they use, with what it must give. */
const forms: readonly Portable[] = [
  {
    group: 'Order and comparison of text',
    name: 'text is ordered by bytes, and NULL where the statement says',
    given: people,
    query: sql`select name from p order by name nulls last`,
    rows: [['Z'], ['a'], ['ä'], [null]],
  },
  {
    group: 'NULL',
    name: 'greatest and least pass over NULL',
    query: sql`select greatest(1, ${null}, 3), least(cast(${null} as integer), 2)`,
    rows: [[3, 2]],
  },
  {
    group: 'Arithmetic and decimals',
    name: 'aggregates count with filters, over truth values, and exactly over decimals',
    given: people,
    query: sql`select count(*) filter (where held), bool_or(held), cast(sum(score) as varchar), count(distinct (born)), count(*) from p`,
    rows: [[2n, true, '0.75', 2n, 4n]],
  },
  {
    group: 'Arithmetic and decimals',
    name: 'sums of 64-bit integers do not overflow on the way',
    query: sql`select cast(sum(n) as varchar) from (values (cast(${2n ** 63n - 1n} as bigint)), (cast(${2n ** 63n - 1n} as bigint))) as v(n)`,
    rows: [['18446744073709551614']],
  },
  {
    group: 'Arithmetic and decimals',
    name: 'sums of 38 digits are exact',
    query: sql`select cast(sum(n) as varchar) from (values (cast(${'9'.repeat(37)} as decimal(38, 0))), (cast('1' as decimal(38, 0)))) as v(n)`,
    rows: [[`1${'0'.repeat(37)}`]],
  },
  {
    group: 'Windows',
    name: 'windows rank, look back and ahead, and sum by rows',
    given: people,
    query: sql`select id, row_number() over w, lag(id) over w, lead(id) over w is null,
        cast(sum(id) over (order by id rows unbounded preceding) as bigint)
      from p window w as (partition by born order by id) order by id`,
    rows: [
      [1, 1n, null, false, 1n],
      [2, 1n, null, true, 3n],
      [3, 1n, null, true, 6n],
      [4, 2n, 1, true, 10n],
    ],
  },
  {
    group: 'Merge',
    name: 'rows are replaced by DELETE … USING and INSERT, and updated from another table',
    given: [
      ...people,
      sql`create table c (id integer, op varchar)`,
      sql`insert into c values (1, 'u'), (2, 'd'), (9, 'i')`,
      sql`delete from p t using c k where t.id = k.id and k.op = 'd'`,
      sql`update p t set name = 'new', held = null from c k where t.id = k.id and k.op = 'u'`,
      sql`insert into p select id, op, ${null}, 0, false from c where op = 'i'`,
    ],
    query: sql`select id, name, held from p order by id`,
    rows: [
      [1, 'new', null],
      [3, null, null],
      [4, 'a', true],
      [9, 'i', false],
    ],
  },
  {
    group: 'History of type 2',
    name: 'a history of half-open ranges is closed, opened and joined by time',
    given: [
      sql`create table h (k integer, valid_from timestamp, valid_to timestamp)`,
      sql`insert into h values (1, '-infinity', 'infinity')`,
      sql`update h set valid_to = timestamp '2024-01-01 00:00:00' where k = 1`,
      sql`insert into h values (1, timestamp '2024-01-01 00:00:00', 'infinity')`,
    ],
    query: sql`select cast(e.moment as varchar), cast(h.valid_from as varchar) from
      (values (timestamp '2023-12-31 23:59:59.999999'), (timestamp '2024-01-01 00:00:00')) as e(moment)
      join h on e.moment >= h.valid_from and e.moment < h.valid_to order by 1`,
    rows: [
      ['2023-12-31 23:59:59.999999', '-infinity'],
      ['2024-01-01 00:00:00', '2024-01-01 00:00:00'],
    ],
  },
  {
    group: 'NULL',
    name: 'sets are compared with NULL equal to NULL',
    query: sql`select count(*) from (
      (select 1 as a, cast(${null} as integer) as b) except (select 1, cast(${null} as integer))) x`,
    rows: [[0n]],
  },
  {
    group: 'Text',
    name: 'texts are cut, joined and searched alike',
    query: sql`select left('한국어', 2), right('abc', 2), substr('abc', 2), concat_ws('-', 'a', ${null}, 'b'),
      split_part('a(b)', '(', 2), replace('a/b', '/', '\\/'), starts_with('abc', 'ab'), md5('한'),
      array_to_string(string_to_array('a,b', ','), '+')`,
    rows: [['한국', 'bc', 'bc', 'a-b', 'b)', 'a\\/b', true, 'f7ad7dea32e2e9f801a2e8472e4089a5', 'a+b']],
  },
  {
    group: 'Dates and time zones',
    name: 'parts of a date follow ISO, and years are made of days',
    query: sql`select cast(extract(isodow from d) as integer), cast(extract(week from d) as integer),
        cast(extract(isoyear from d) as integer), cast(extract(quarter from d) as integer), cast(make_date(2024, 1, 1) + 59 as varchar)
      from (select date '2021-01-03' as d) x`,
    rows: [[7, 53, 2020, 1, '2024-02-29']],
  },
  {
    group: 'Rounding',
    name: 'a float is rounded down and compared as the float it is',
    query: sql`select floor(cast('2.5' as double precision) * 10 + cast('0.5' as double precision)) / 10,
      abs(cast('nan' as double precision)) < cast('infinity' as double precision)`,
    rows: [[2.5, false]],
  },
  {
    group: 'NULL',
    name: 'nothing counts 0 and sums to NULL, NULL is one group, and NOT IN with NULL is not true',
    given: people,
    query: sql`select count(*), sum(id), (select count(*) from (select born from p group by born) g),
        (select count(*) from p where 9 not in (select case when id > 1 then id end from p)),
        (select count(*) from p where name is distinct from 'a') from p where id > 9`,
    rows: [[0n, null, 3n, 0n, 3n]],
  },
  {
    group: 'Order and comparison of text',
    name: 'texts are equal, grouped and bounded by their bytes: case, accents and spaces at the end count',
    query: sql`select count(distinct t), min(t), max(t), count(*) filter (where t = 'a') from
      (values ('a'), ('A'), ('a '), ('á'), (${'a\u0301'}), ('B')) as v(t)`,
    rows: [[6n, 'A', 'á', 1n]],
  },
  {
    group: 'Arithmetic and decimals',
    name: 'decimals keep every digit when they are added, multiplied, compared and summed',
    query: sql`select cast(sum(d) as varchar), cast(max(d) * 3 as varchar), cast(min(d) - 1 as varchar), count(*) filter (where d = 0.1)
      from (values (cast('0.10' as decimal(12, 2))), (cast('0.20' as decimal(12, 2))), (cast('-9999999999.99' as decimal(12, 2)))) as v(d)`,
    rows: [['-9999999999.69', '0.60', '-10000000000.99', 1n]],
  },
  {
    group: 'Windows',
    name: 'windows count ties alike, take the first and the last of a frame, and put NULL where they are told',
    given: people,
    query: sql`select id, rank() over (order by score desc nulls last), dense_rank() over (order by score desc nulls last),
        first_value(id) over (partition by born order by id),
        last_value(id) over (partition by born order by id rows between unbounded preceding and unbounded following),
        count(*) over (partition by held is null) from p order by id`,
    rows: [
      [1, 1n, 1n, 1, 4, 3n],
      [2, 3n, 2n, 2, 2, 3n],
      [3, 4n, 3n, 3, 3, 1n],
      [4, 1n, 1n, 1, 4, 3n],
    ],
  },
  {
    group: 'Merge',
    name: 'what is not there is inserted once, what is there is updated, what is gone is deleted, and all are counted',
    given: [
      ...people,
      sql`create table n (id integer, name varchar)`,
      sql`insert into n values (1, 'ä'), (2, 'Y'), (7, null), (7, null)`,
      sql`update p t set name = s.name from n s where t.id = s.id and t.name is distinct from s.name`,
      sql`delete from p t where not exists (select 1 from n s where s.id = t.id)`,
      sql`insert into p (id, name) select distinct id, name from n s where not exists (select 1 from p t where t.id = s.id)`,
    ],
    query: sql`select id, name, held from p order by id`,
    rows: [
      [1, 'ä', true],
      [2, 'Y', false],
      [7, null, null],
    ],
  },
  {
    group: 'History of type 2',
    name: 'a late change goes between two versions, a deleted member is closed, and no moment has two versions',
    given: [
      sql`create table h (k integer, v varchar, valid_from timestamp, valid_to timestamp)`,
      sql`insert into h values (1, 'a', '-infinity', timestamp '2024-01-10 00:00:00'), (1, 'c', timestamp '2024-01-10 00:00:00', 'infinity'),
        (2, 'x', '-infinity', 'infinity')`,
      sql`create table late (k integer, v varchar, moment timestamp)`,
      sql`insert into late values (1, 'b', timestamp '2024-01-05 00:00:00')`,
      sql`insert into h select l.k, l.v, l.moment, h.valid_to from late l join h on h.k = l.k and l.moment >= h.valid_from and l.moment < h.valid_to`,
      sql`update h set valid_to = l.moment from late l where h.k = l.k and h.valid_from < l.moment and h.valid_to > l.moment`,
      sql`update h set valid_to = timestamp '2024-02-01 00:00:00' where k = 2 and valid_to = 'infinity'`,
    ],
    query: sql`select k, v, cast(valid_from as varchar), cast(valid_to as varchar),
        coalesce(valid_from < lag(valid_to) over (partition by k order by valid_from), false) from h order by k, valid_from`,
    rows: [
      [1, 'a', '-infinity', '2024-01-05 00:00:00', false],
      [1, 'b', '2024-01-05 00:00:00', '2024-01-10 00:00:00', false],
      [1, 'c', '2024-01-10 00:00:00', 'infinity', false],
      [2, 'x', '-infinity', '2024-02-01 00:00:00', false],
    ],
  },
]

async function check(engine: Engine, { given = [], query, rows }: Portable): Promise<void> {
  const found = await engine.transaction(signal, async tx => {
    for (const statement of given) await tx.execute(statement)
    return tx.rows(query)
  })
  // Columns without a name of their own may share one, so values are read by position from a query.
  if (new Set(Object.keys(found[0] ?? {})).size === (rows[0]?.length ?? 0)) {
    assert.deepEqual(
      found.map(row => Object.values(row)),
      rows,
    )
    return
  }
  const result = await engine.query(query, signal)
  const cells: (readonly Cell[])[] = []
  for await (const page of result.pages) cells.push(...page)
  assert.deepEqual(cells, rows)
}

/** The common subset of SQL, executed. */
export const portablePromises: readonly GroupedPromise[] = forms.map(form => ({
  name: form.name,
  group: form.group,
  check: (engine: Engine) => check(engine, form),
}))
