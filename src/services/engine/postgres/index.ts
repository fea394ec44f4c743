import type { SecretRef } from '../../../core/secret.ts'
import { implement, option } from '../../../core/implementation.ts'

/** The engine on a PostgreSQL server: staging, ODS and warehouse are schemas of one of its databases. */
export const postgres = implement({
  service: 'engine',
  kind: 'postgres',
  summary: 'A database of PostgreSQL 17 or newer, in UTF-8, that compares text by bytes.',
  needs: { pg: '>=8.11 <9' },
  options: {
    url: option.required.secret('Address of the database: postgres://user:password@host:5432/database.'),
    connectTimeout: option.duration('Longest wait for a connection and its login.', { default: '15s' }),
    statementTimeout: option.duration('Longest time that one statement may take on the server.', { default: '6h' }),
    lockTimeout: option.duration(
      'Longest time that a run waits for queries to leave a table that it has to make anew.',
      {
        default: '10m',
      },
    ),
    memory: option.text("Memory that one sort or join may use before it goes to disk: the server's work_mem.", {
      default: '64MB',
    }),
  },
  open: () => import('./open.ts'),
})

/** The database by where its address comes from: the address itself may hold a password. */
export function postgresPlace(options: Readonly<Record<string, unknown>>): string {
  const { from, name } = options['url'] as SecretRef
  return `PostgreSQL at ${from}('${name}')`
}
