import { fail } from '../../../core/errors.ts'
import { renderSql, type Dialect, type Sql } from '../../../core/sql.ts'
import type { SystemFacts } from './facts.ts'
import { genericSystem } from './facts-generic.ts'
import type { Statement } from './messages.ts'

/**
 * Renders SQL for a system: names in the quotes that its driver tells, values as its literals. Of a system that is not
 * known nobody knows how it reads a literal, so its texts become parameters.
 */
export function renderFor(statement: Sql, facts: SystemFacts, quote: string): Statement {
  const values: string[] = []
  const literal: Dialect['literal'] = value => {
    if (facts !== genericSystem || typeof value !== 'string') return facts.literal(value)
    values.push(value)
    return '?'
  }
  const { text } = renderSql(statement, {
    identBytesMax: 1_000,
    quote: name => quoted(name, quote),
    literal,
    type: () => refuse('a column type'),
    fn: () => refuse('a row function'),
    tryCast: () => refuse('a cast with rejects'),
  })
  return { text, values }
}

function quoted(name: string, quote: string): string {
  if (quote !== '') return `${quote}${name.replaceAll(quote, quote + quote)}${quote}`
  if (/^\w+$/.test(name)) return name
  throw fail('IDENT_INVALID', { name, why: 'its driver quotes no names, so only letters, digits and _ may be in one' })
}

function refuse(what: string): never {
  throw fail('INTERNAL', { what: `${what} was sent to an ODBC source` })
}
