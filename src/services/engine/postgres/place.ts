import type { SecretRef } from '../../../core/secret.ts'

/** The database by where its address comes from: the address itself may hold a password. */
export function postgresPlace(options: Readonly<Record<string, unknown>>): string {
  const { from, name } = options['url'] as SecretRef
  return `PostgreSQL at ${from}('${name}')`
}
