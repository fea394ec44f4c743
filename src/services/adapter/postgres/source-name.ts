import { ident, type Ident } from '../../../core/sql.ts'

/** The table as the server knows it. A name without a schema is one of `public`. */
export function sourceName(remote: string): { readonly schema: string; readonly relation: string } {
  const dot = remote.indexOf('.')
  return dot < 0
    ? { schema: 'public', relation: remote }
    : { schema: remote.slice(0, dot), relation: remote.slice(dot + 1) }
}

/** The table as SQL names it. */
export function sourceIdent(remote: string): Ident {
  const { schema, relation } = sourceName(remote)
  return ident(schema, relation)
}
