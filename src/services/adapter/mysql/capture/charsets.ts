import { rawSql, sql, type Sql } from '../../../../core/sql.ts'
import { NO_LETTER, tableText, unicodeText } from '../../../../systems/mysql/binlog/charset.ts'
import type { Translate } from '../../../../systems/mysql/binlog/translate.ts'
import type { Connection, TextRow } from '../connection.ts'

/** Charsets whose bytes are UTF-8 already. */
const UTF8: ReadonlySet<string> = new Set(['utf8', 'utf8mb3', 'utf8mb4', 'ascii'])
/** Charsets with letters of three bytes, and what those begin with. */
const THREE_LEAD: Readonly<Record<string, number>> = { ujis: 0x8f, eucjpms: 0x8f }

/**
 * What the server knows of charsets. The letters of one are asked for once, so that text from the log is converted as the server
 * converts it when a table is read.
 */
export class Charsets {
  readonly #connection: () => Promise<Connection>
  readonly #byCollation: ReadonlyMap<number, string>
  readonly #known = new Map<string, Translate | null>()

  private constructor(connection: () => Promise<Connection>, byCollation: ReadonlyMap<number, string>) {
    this.#connection = connection
    this.#byCollation = byCollation
  }

  static async open(connection: () => Promise<Connection>, signal: AbortSignal): Promise<Charsets> {
    const open = await connection()
    const rows = await open.query(
      sql`select id, character_set_name from information_schema.collations where id is not null`,
      signal,
    )
    return new Charsets(connection, new Map(rows.map(([id, name]) => [Number(id), name ?? ''])))
  }

  /** The charset of a collation; `null` when the server does not name it. */
  nameOf(collation: number | null): string | null {
    return (collation === null ? undefined : this.#byCollation.get(collation)) ?? null
  }

  /** How text of a charset becomes UTF-8; `null` when it is that. */
  async translateOf(charset: string, signal: AbortSignal): Promise<Translate | null> {
    const known = this.#known.get(charset)
    if (known !== undefined) return known
    const made = UTF8.has(charset) ? null : (unicodeText[charset] ?? (await this.#table(charset, signal)))
    this.#known.set(charset, made)
    return made
  }

  async #table(charset: string, signal: AbortSignal): Promise<Translate> {
    const connection = await this.#connection()
    const letters = async (prefix: string, bytes: 1 | 2): Promise<Uint32Array> =>
      lettersOf(await connection.query(lettersQuery(charset, prefix, bytes), signal), 256 ** bytes)
    const one = await letters('', 1)
    const hasLonger = one.some((letter, byte) => byte >= 0x80 && letter === NO_LETTER)
    const lead = THREE_LEAD[charset]
    return tableText({
      one,
      two: hasLonger ? await letters('', 2) : null,
      three: lead === undefined ? null : await letters(lead.toString(16), 2),
      threeLead: lead ?? -1,
    })
  }
}

/** Numbers from 0 to 15, as letters of a hexadecimal number. */
const digits: Sql = rawSql(
  `(${[...'0123456789abcdef'].map((digit, i) => (i === 0 ? `select '${digit}' as d` : `select '${digit}'`)).join(' union all ')})`,
)

/** Every sequence of one or two bytes (behind `prefix`) that is one letter and comes back as it was. */
function lettersQuery(charset: string, prefix: string, bytes: 1 | 2): Sql {
  if (!/^\w+$/.test(charset)) throw new Error(`the server names a charset ${charset}`)
  const name = rawSql(charset)
  const places = ['a', 'b', 'c', 'd'].slice(0, bytes * 2)
  const code = rawSql(`concat(${places.map(place => `${place}.d`).join(', ')})`)
  const from = places.map(place => sql`${digits} as ${rawSql(place)}`).reduce((all, table) => sql`${all}, ${table}`)
  return sql`
    select code, hex(convert(letter using utf32)) from (
      select ${code} as code, convert(unhex(concat(${prefix}, ${code})) using ${name}) as letter from ${from}
    ) as codes
    where char_length(letter) = 1 and hex(letter) = upper(concat(${prefix}, code))
      and hex(convert(convert(letter using utf8mb4) using ${name})) = hex(letter)`
}

function lettersOf(rows: readonly TextRow[], size: number): Uint32Array {
  const letters = new Uint32Array(size).fill(NO_LETTER)
  for (const [code, letter] of rows)
    letters[Number.parseInt(code as string, 16)] = Number.parseInt(letter as string, 16)
  return letters
}
