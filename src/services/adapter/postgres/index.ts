import { implement, option } from '../../../core/implementation.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** The PostgreSQL adapter, described. */
export const postgres = implement({
  service: 'adapter',
  kind: 'postgres',
  summary:
    'Tables and views of PostgreSQL 13 and newer, read by binary COPY in one snapshot, and written through a stage.',
  needs: { pg: '>=8.11 <9' },
  options: {
    url: option.required.secret(
      'Address of the database: postgres://user:password@host:5432/database. For TLS add ?sslmode=require, or ?sslmode=verify-full&sslrootcert=ca.pem, as for psql.',
    ),
    schemas: option.text('Schemas to describe, separated by commas. All that the account may use when left out.'),
    connectTimeout: option.duration('Longest wait for a connection and its login.', { default: '15s' }),
    statementTimeout: option.duration(
      'Longest wait for the server: for the end of one statement, and for the next piece of a table that is read.',
      { default: '30m' },
    ),
    ...limits,
    maxValueBytes: option.int(
      'Largest row that is taken, in bytes as they are sent. A larger one is set aside as a reject.',
      { default: 64 * MiB, min: 1024, max: 1024 * MiB },
    ),
  },
  open: () => import('./open.ts'),
})
