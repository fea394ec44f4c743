import { implement, option } from '../../../core/implementation.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** The adapter of MySQL and MariaDB, described. */
export const mysql = implement({
  service: 'adapter',
  kind: 'mysql',
  summary: 'Tables and views of MySQL 5.7 and newer and MariaDB 10.5 and newer, read in one snapshot and written.',
  needs: { mysql2: '>=3.11 <4' },
  options: {
    url: option.required.secret('Address of the database: mysql://user:password@host:3306/database.'),
    schemas: option.text(
      'Databases to describe, separated by commas; that of the address when left out. Tables of another one are called database.table.',
    ),
    tls: option.choice('Encryption: verify checks the certificate of the server, unverified takes any.', {
      choices: ['off', 'verify', 'unverified'],
      default: 'off',
    }),
    ca: option.text(
      'File with the certificates (PEM) that the one of the server is checked against; those of Node when left out.',
    ),
    readLock: option.flag(
      'Take FLUSH TABLES WITH READ LOCK for the moment in which several connections open one view: needed for `connections` over 1, and RELOAD for the account.',
      { default: false },
    ),
    zeroDates: option.choice(
      'Dates with zeros in them, which no date type holds: set the row aside, or take NULL for them.',
      {
        choices: ['reject', 'null'],
        default: 'reject',
      },
    ),
    otherEngines: option.choice(
      'Tables that are not InnoDB are in no snapshot: refuse them, or read each as it is at its moment.',
      { choices: ['refuse', 'accept'], default: 'refuse' },
    ),
    serverId: option.int(
      'Number under which the log of the server is read, among its replicas: none of them may have the same. 0 is a number made from the name and the address of the source.',
      { default: 0, min: 0, max: 4_294_967_295 },
    ),
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
