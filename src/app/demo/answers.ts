import { rawSql, sql } from '../../core/sql.ts'
import type { Cell, Transaction } from '../../services/engine/contract.ts'

/** A question to the warehouse and what it says. */
export interface Answer {
  readonly question: string
  readonly query: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
}

/** Three questions that need the whole journey: the mart, a dimension of the fact, and two facts that share a dimension. */
const questions: readonly { readonly question: string; readonly query: string }[] = [
  {
    question: 'In which month were flights most delayed?',
    query: `select month, sum(flights) as flights, round(sum(delay_sum) / sum(flights), 2) as mean_delay_minutes
from mart.delay_by_month_origin group by month having sum(flights) >= 1000
order by mean_delay_minutes desc limit 3`,
  },
  {
    question: 'From which states do flights leave latest?',
    query: `select o.state, count(*) as flights, round(avg(f.delay), 2) as mean_delay_minutes
from dw.fact_flight f join dw.dim_airport o on f.origin_key = o.airport_key
where o.state is not null group by o.state having count(*) >= 1000
order by mean_delay_minutes desc, o.state limit 3`,
  },
  {
    question: 'Which airports have the most bird strikes, and how many flights leave there?',
    query: `with strikes as (select airport_key, count(*) as strikes from dw.fact_strike group by airport_key),
  flights as (select origin_key as airport_key, count(*) as flights from dw.fact_flight group by origin_key)
select a.iata, a.name, s.strikes, f.flights
from strikes s join dw.dim_airport a using (airport_key) left join flights f using (airport_key)
where a.iata is not null order by s.strikes desc, a.iata limit 3`,
  },
]

export async function runAnswers(tx: Transaction): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  for (const { question, query } of questions) {
    const rows = await tx.rows(rawSql(query))
    const columns = Object.keys(rows[0] ?? {})
    answers.push({ question, query, columns, rows: rows.map(row => columns.map(column => row[column] ?? null)) })
  }
  return answers
}

/** Each airport name of the strikes with the code of the golden record it was matched to, or `null`. */
export async function readMatches(tx: Transaction): Promise<Readonly<Record<string, string | null>>> {
  const rows = await tx.rows(sql`
    select distinct s.airport_name as name, o.airport as code
    from staging.safety_strike s join ods.strike o on o.strike_id = s.strike_id
    where s.airport_name is not null order by 1, 2`)
  return Object.fromEntries(rows.map(row => [String(row['name']), row['code'] === null ? null : String(row['code'])]))
}
