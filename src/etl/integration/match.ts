import { ident, joinSql, rawSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { Transaction } from '../../services/engine/contract.ts'
import { compareWords, type Temp, type TextColumns } from './words.ts'

/**
 * Finds for each identity the golden record that it means, in SQL and without training. A word counts by its rarity:
 * what few records share says much. Every sum is of whole numbers (thousandths of a nat, hundredths of a likeness), so
 * that the same rows give the same scores in any order.
 */
export interface Matching {
  readonly columns: readonly TextColumns[]
  /** Columns, present on both sides, whose equality raises the score. */
  readonly support: readonly string[]
  readonly threshold: number
  /** `golden` (`_g` and columns) and `identities` (`_i` and columns) are there; the result goes to `matches`. */
  readonly temp: Temp
}

/** Candidates are looked for by the rarest words of an identity, and only while these stay rare. */
const BLOCKING_WORDS = 4
const BLOCKING_RECORDS = 2_000
/** Candidates that are compared in full for each identity. */
const CANDIDATES = 50
/** What the side with more unmatched words loses for them; the other side loses all: `LOGAN` may be `GEN EDW L LOGAN`. */
const EXTRA_WORDS = 0.1
/** A word of the golden records that the contributor writes often costs at least this share of its weight when missing. */
const HABIT = 0.5
/** A best candidate that leads the second by less is ambiguous. */
const MARGIN = 0.02

/**
 * Makes the temporary table `matches`: `_i`, `_g` (NULL without a match), `score` of the best candidate, `rule`
 * (`like`, `unlike`, `ambiguous`). Several identities may mean one record: a source may spell it in several ways.
 */
export async function findMatches(tx: Transaction, it: Matching): Promise<Ident> {
  const { temp } = it
  await compareWords(tx, temp, it.columns)
  const [counts] = await tx.rows(sql`
    select (select count(*) from ${temp('golden')}) as golden, (select count(*) from ${temp('identities')}) as identities`)
  const golden = Number(counts?.['golden'])
  await weighWords(tx, temp, { golden, identities: Number(counts?.['identities']) })
  const supports = await weighSupports(tx, it, golden)
  const make = (what: string, query: Sql): Promise<number> => tx.replaceTemp(temp(what), query)
  await make('candidates', candidates(temp, supports))
  await make('hits', hits(temp))
  await make('scores', scores(temp, golden))
  await make('matches', decisions(it))
  return temp('matches')
}

/** A support column and what its agreement is worth: its entropy, so that a column with one value is worth nothing. */
interface Support {
  readonly column: string
  readonly weight: bigint
}

async function weighSupports(tx: Transaction, it: Matching, golden: number): Promise<readonly Support[]> {
  const weighed: Support[] = []
  for (const column of it.support) {
    const share = sql`(${double(sql`n`)} / ${golden})`
    const [row] = await tx.rows(sql`
      select cast(floor(coalesce(sum(cast(round(-1e9 * ${share} * ln(${share})) as bigint)), 0) / 10000) as bigint) as weight
      from (select count(*) as n from ${it.temp('golden')} where ${ident(column)} is not null group by ${ident(column)})`)
    // In hundredths of a thousandth of a nat, as the sums of words are.
    weighed.push({ column, weight: BigInt((row?.['weight'] as bigint | undefined) ?? 0n) })
  }
  return weighed
}

/**
 * `weights`: for each word of the identities how many golden records have a word like it (`reach`), its `evidence` when
 * matched and its `cost` when not; `golden_weights`: the cost of the golden words. A word that the contributor puts on
 * everything (ARPT) costs little when the golden record does not have it.
 */
async function weighWords(
  tx: Transaction,
  temp: Temp,
  counts: { readonly golden: number; readonly identities: number },
): Promise<void> {
  const rarity = (among: number, n: Sql): Sql => sql`1000 * ln(${double(sql`${among + 1}`)} / ${n})`
  const habit = sql`case when records > 1 then 1000 * ln(${double(sql`${counts.identities}`)} / (records - 1)) else ${double(sql`1e9`)} end`
  await tx.replaceTemp(
    temp('weights'),
    sql`select iword, reach, cast(round(evidence) as bigint) as evidence,
      cast(round(least(evidence, greatest(${habit}, case when known then ${double(sql`${HABIT}`)} * evidence else 0 end))) as bigint) as cost
    from (
      select v.id as iword, v.records, v.known, coalesce(r.reach, 0) as reach,
        greatest(50, ${rarity(counts.golden, sql`coalesce(r.reach, 1)`)}) as evidence
      from ${temp('vocabulary')} v left join (
        select a.iword, ${double(sql`sum(a.likeness * g.records)`)} / 100 as reach
        from ${temp('alike')} a join ${temp('golden_vocabulary')} g on g.id = a.gword group by a.iword) r on r.iword = v.id)`,
  )
  await tx.replaceTemp(
    temp('golden_weights'),
    sql`select id as gword, cast(round(${rarity(counts.golden, sql`records`)}) as bigint) as cost
    from ${temp('golden_vocabulary')}`,
  )
}

/** The golden records that share rare words with an identity, the most telling ones first. */
function candidates(temp: Temp, supports: readonly Support[]): Sql {
  return sql`
    with rare as (
      select _i, iword, evidence from (
        select w._i, w.iword, x.evidence, row_number() over rarest as place, sum(x.reach) over rarest as records
        from ${temp('words')} w join ${temp('weights')} x using (iword) where x.reach > 0
        window rarest as (partition by w._i order by x.reach, w.iword rows unbounded preceding)) w
      where place <= ${BLOCKING_WORDS} and records <= ${BLOCKING_RECORDS}),
    shared as (
      select r._i, g._g, max(r.evidence * a.likeness) as evidence
      from rare r join ${temp('alike')} a using (iword) join ${temp('golden_words')} g using (gword)
      group by r._i, g._g, r.iword),
    summed as (select _i, _g, sum(evidence) as evidence from shared group by _i, _g),
    supported as (
      select _i, _g, evidence, ${supportSum(supports, '=')} as agreed, ${supportSum(supports, '<>')} as opposed
      from summed join ${temp('identities')} i using (_i) join ${temp('golden')} g using (_g))
    select _i, _g, agreed, opposed from (
      select *, row_number() over (partition by _i order by evidence + agreed desc, _g) as place from supported) s
    where place <= ${CANDIDATES}`
}

/** As a float: the same steps give the same scores on every engine. */
function double(value: Sql): Sql {
  return sql`cast(${value} as double precision)`
}

function supportSum(supports: readonly Support[], operator: '=' | '<>'): Sql {
  const weights = supports.map(
    ({ column, weight }) =>
      sql`case when ${ident('i', column)} ${rawSql(operator)} ${ident('g', column)} then ${weight} else 0 end`,
  )
  return joinSql([...weights, sql`0`], ' + ')
}

/** The words that a candidate pair shares; each word of either side is used once, for the one most like it. */
function hits(temp: Temp): Sql {
  // Materialized in this order: a common word joined first would pair every identity with half of the golden records.
  return sql`
    with golden as materialized (
      select c._i, c._g, g.gword, g.own from ${temp('candidates')} c join ${temp('golden_words')} g using (_g)),
    pairs as materialized (
      select c._i, c._g, w.iword, c.gword, c.own from golden c join ${temp('words')} w using (_i)),
    shared as materialized (
      select p.*, a.likeness from pairs p join ${temp('alike')} a using (iword, gword))
    select _i, _g, iword, gword, own, likeness from (
      select *, row_number() over (partition by _i, _g, iword order by likeness desc, gword) as nth,
        row_number() over (partition by _i, _g, gword order by likeness desc, iword) as golden_nth
      from shared) s
    where nth = 1 and golden_nth = 1`
}

/**
 * The score of a pair: the evidence that both sides share, as a part of that and of what speaks against it. It is full
 * only when the evidence is enough to single out one of so many records: a common word alone never is.
 */
function scores(temp: Temp, golden: number): Sql {
  const enough = 100_000 * Math.log(golden + 1)
  const evidence = double(sql`(p.evidence + c.agreed)`)
  const missing = double(sql`(i.cost - p.identity_cost)`)
  const extra = double(sql`(g.cost - p.golden_cost)`)
  const against = sql`${double(sql`c.opposed`)} + least(${missing}, ${extra}) + ${double(sql`${EXTRA_WORDS}`)} * greatest(${missing}, ${extra})`
  const score = sql`${evidence} / (${evidence} + ${against}) * least(1, ${evidence} / ${double(sql`${enough}`)})`
  return sql`
    with shared as materialized (
      select h._i, h._g, sum(h.likeness * w.evidence) as evidence, sum(h.likeness * w.cost) as identity_cost,
        sum(case when h.own then h.likeness * g.cost else 0 end) as golden_cost
      from ${temp('hits')} h join ${temp('weights')} w using (iword) join ${temp('golden_weights')} g using (gword)
      group by h._i, h._g),
    identity as materialized (
      select _i, 100 * sum(cost) as cost from ${temp('words')} join ${temp('weights')} using (iword) group by _i),
    golden as materialized (
      select _g, 100 * sum(case when own then cost else 0 end) as cost
      from (select distinct _g from ${temp('candidates')})
      join ${temp('golden_words')} using (_g) join ${temp('golden_weights')} using (gword) group by _g)
    select p._i, p._g, floor(${score} * 10000 + ${double(sql`0.5`)}) / 10000 as score
    from shared p join ${temp('candidates')} c using (_i, _g) join identity i using (_i) join golden g using (_g)`
}

function decisions(it: Matching): Sql {
  const { temp } = it
  return sql`
    with ranked as (
      select _i, _g, score, score - coalesce(lead(score) over best, 0) as ahead, row_number() over best as place
      from ${temp('scores')} window best as (partition by _i order by score desc, _g) ),
    decided as (
      select _i, _g, score,
        case when score < ${double(sql`${it.threshold}`)} then 'unlike' when ahead < ${double(sql`${MARGIN}`)} then 'ambiguous' else 'like' end as rule
      from ranked where place = 1)
    select i._i, case when d.rule = 'like' then d._g end as _g, d.score, coalesce(d.rule, 'unlike') as rule
    from ${temp('identities')} i left join decided d using (_i)`
}
