import { hasDigit, typos, wordsOf } from '../../core/dialect-functions.ts'
import { ident, joinSql, sql, type Ident, type Sql } from '../../core/sql.ts'
import type { Transaction } from '../../services/engine/contract.ts'

/** A temporary table of one matching, by what it holds. */
export type Temp = (what: string) => Ident

/** One text column of the contributor and the columns of the golden records that it is compared with. */
export interface TextColumns {
  readonly golden: readonly string[]
  readonly identity: string
}

/** A word that is shorter than this is not taken for a misspelling of another. */
const TYPO_LETTERS = 4
/** From this length on two letters may be wrong. */
const TWO_TYPOS_LETTERS = 6
/** Longer words are compared only as they are: the number of their spellings grows with the square of the length. */
const TYPO_LETTERS_MAX = 24
/** Likeness of a word and its abbreviation, of 100. */
const ABBREVIATED = 80

/**
 * Cuts both sides into words and finds which words are alike. Makes the temporary tables `golden_vocabulary` and
 * `vocabulary` (`id`, `part`, `word`, `records` that have it; of the contributor's words also `known`: the golden
 * records have it too), `golden_words` (`_g`, `gword`, `own`: it stands in the first column compared), `words` (`_i`,
 * `iword`) and `alike` (`iword`, `gword`, `likeness` of 100). `part` is the position of the compared column, so that
 * titles never meet authors.
 */
export async function compareWords(tx: Transaction, temp: Temp, columns: readonly TextColumns[]): Promise<void> {
  const make = (what: string, query: Sql): Promise<number> => tx.replaceTemp(temp(what), query)
  await make('golden_text', goldenWords(temp, columns))
  await make('text', identityWords(temp, columns))
  await make('golden_vocabulary', vocabularyOf(temp('golden_text')))
  await make(
    'vocabulary',
    sql`select v.*, g.word is not null as known
      from (${vocabularyOf(temp('text'))}) v left join ${temp('golden_vocabulary')} g using (part, word)`,
  )
  await make(
    'golden_words',
    sql`select t._g, v.id as gword, t.own from ${temp('golden_text')} t join ${temp('golden_vocabulary')} v using (part, word)`,
  )
  await make(
    'words',
    sql`select t._i, v.id as iword from ${temp('text')} t join ${temp('vocabulary')} v using (part, word)`,
  )
  const kinds = joinSql([same(temp), beginnings(temp), ...skeletons(temp), misspelled(temp)], ' union all ')
  await make('alike', sql`select iword, gword, max(likeness) as likeness from (${kinds}) k group by iword, gword`)
}

/** Words are numbered, for joins over numbers are several times faster; in their order, so that the numbers are stable. */
function vocabularyOf(text: Ident): Sql {
  return sql`
    select row_number() over (order by part, word) as id, part, word, count(*) as records,
      ${skeleton(sql`word`)} as skeleton, ${isPlain(sql`word`)} as plain
    from ${text} group by part, word`
}

function goldenWords(temp: Temp, columns: readonly TextColumns[]): Sql {
  const selects = columns.flatMap(({ golden }, part) =>
    golden.map(
      (column, at) => sql`
        select _g, ${part} as part, ${wordsOf(ident(column))} as word, ${at === 0} as own from ${temp('golden')}`,
    ),
  )
  return sql`select _g, part, word, bool_or(own) as own from (${joinSql(selects, ' union all ')}) w group by _g, part, word`
}

function identityWords(temp: Temp, columns: readonly TextColumns[]): Sql {
  const selects = columns.map(
    ({ identity }, part) => sql`
      select distinct _i, ${part} as part, ${wordsOf(ident(identity))} as word from ${temp('identities')}`,
  )
  return joinSql(selects, ' union all ')
}

/** The word without its vowels, but for the first letter: how people shorten. */
function skeleton(word: Sql): Sql {
  return sql`left(${word}, 1) || regexp_replace(substr(${word}, 2), '[AEIOU]', '', 'g')`
}

/** Numbers are the same or not: `12` is no misspelling of `13`. */
function isPlain(word: Sql): Sql {
  return sql`not ${hasDigit(word)}`
}

function same(temp: Temp): Sql {
  return sql`
    select i.id as iword, g.id as gword, 100 as likeness
    from ${temp('vocabulary')} i join ${temp('golden_vocabulary')} g using (part, word)`
}

/** One is the beginning of the other: METRO, METROPOLITAN. */
function beginnings(temp: Temp): Sql {
  return sql`${pairsOf(temp)} and left(i.word, 3) = left(g.word, 3)
    where (starts_with(i.word, g.word) or starts_with(g.word, i.word))
      and least(length(i.word), length(g.word)) >= 3`
}

/** The vowels are left out, or so many letters that only first, last and order remain: INTL, INTERNATIONAL. */
function skeletons(temp: Temp): readonly Sql[] {
  const ends = sql`left(i.word, 1) = left(g.word, 1) and right(i.word, 1) = right(g.word, 1)`
  return [
    sql`${pairsOf(temp)} and i.skeleton = g.skeleton
      where length(i.skeleton) >= 3 and abs(length(i.word) - length(g.word)) > 1`,
    // A word that the golden records use as a word is not read as an abbreviation, unless it has no vowels.
    sql`${pairsOf(temp)} and ${ends} where (not i.known or i.skeleton = i.word) and ${shortens('i', 'g')}`,
    sql`${pairsOf(temp)} and ${ends} where g.skeleton = g.word and ${shortens('g', 'i')}`,
  ]
}

/** The letters of `short` stand in `long` in their order; two letters are enough only for a short word (FT, FORT). */
function shortens(short: string, long: string): Sql {
  const [s, l] = [sql`${ident(short, 'word')}`, sql`${ident(long, 'word')}`]
  return sql`length(${s}) < length(${l}) and length(${s}) >= case when length(${l}) <= 5 then 2 else 3 end
    and ${l} like regexp_replace(${s}, '(.)', ${'\\1%'}, 'g')`
}

function pairsOf(temp: Temp): Sql {
  return sql`
    select i.id, g.id, ${ABBREVIATED} from ${temp('vocabulary')} i
    join ${temp('golden_vocabulary')} g on i.part = g.part and i.word <> g.word and i.plain and g.plain`
}

/**
 * Words a letter or two apart (left out, added, changed, or two neighbours swapped): only such can have a spelling in
 * common after letters were taken from both, so a join finds them without comparing every word with every other.
 */
function misspelled(temp: Temp): Sql {
  return sql`
    select iword, gword, 100 - cast(floor(100 * wrong / longest) as bigint) from (
      select iword, gword, ${typos(sql`i.word`, sql`g.word`)} as wrong, least(length(i.word), length(g.word)) as shortest,
        cast(greatest(length(i.word), length(g.word)) as double precision) as longest
      from (
        select distinct i.id as iword, g.id as gword
        from (${spellings(temp('vocabulary'), sql`plain and not known`)}) i
        join (${spellings(temp('golden_vocabulary'), sql`plain`)}) g on i.part = g.part and i.spelling = g.spelling) p
      join ${temp('vocabulary')} i on i.id = iword join ${temp('golden_vocabulary')} g on g.id = gword) w
    where wrong = 1 or (wrong = 2 and shortest >= ${TWO_TYPOS_LETTERS})`
}

/** Each word as it is, without one of its letters, and when it is long enough without two. */
function spellings(vocabulary: Ident, condition: Sql): Sql {
  const words = sql`${condition} and length(word) between ${TYPO_LETTERS} and ${TYPO_LETTERS_MAX}`
  const positions = (name: string): Sql => sql`generate_series(1, ${TYPO_LETTERS_MAX}) as ${ident(name)}(place)`
  return sql`
    select id, part, word as spelling from ${vocabulary} where ${words}
    union all
    select id, part, left(word, p.place - 1) || substr(word, p.place + 1)
    from ${vocabulary}, ${positions('p')} where p.place <= length(word) and ${words}
    union all
    select id, part,
      left(word, p.place - 1) || substr(word, p.place + 1, q.place - p.place - 1) || substr(word, q.place + 1)
    from ${vocabulary}, ${positions('p')}, ${positions('q')}
    where p.place < q.place and q.place <= length(word) and length(word) >= ${TWO_TYPOS_LETTERS} and ${words}`
}
