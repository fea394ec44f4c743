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
    slot: option.text(
      'Replication slot of the change technique `log`. Lower-case letters, digits and _; `naru_` and the name of the source when left out.',
    ),
    publication: option.text(
      'Publication of the change technique `log`. One that is there is used as it is, with its filters; otherwise it is made. Named like the slot when left out.',
    ),
    streamTimeout: option.duration('Longest silence of a stream of changes before its connection counts as broken.', {
      default: '60s',
    }),
    heartbeat: option.duration(
      'How often a message of a few bytes is written into the log of the source while changes are streamed, so that a quiet database does not hold the log of a busy server; 0s writes none.',
      { default: '10s' },
    ),
    failover: option.flag(
      'From PostgreSQL 17 on the slot of the change technique `log` is one that standbys take over, when they are set up for it (`sync_replication_slots`).',
      { default: true },
    ),
    ...limits,
    maxValueBytes: option.int(
      'Largest row that is taken, in bytes as they are sent. A larger one is set aside as a reject.',
      { default: 64 * MiB, min: 1024, max: 1024 * MiB },
    ),
  },
  open: () => import('./open.ts'),
})
