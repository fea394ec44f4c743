import { implement, option } from '../../../core/implementation.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** The ODBC adapter, described. */
export const odbc = implement({
  service: 'adapter',
  kind: 'odbc',
  summary: "Tables and views of any system with an ODBC driver, through the machine's driver manager.",
  needs: { koffi: '>=3 <4' },
  options: {
    dsn: option.required.secret(
      'Connection string, such as `DSN=erp;UID=naru;PWD=...` or `Driver={PostgreSQL Unicode};Server=...`, or the bare name of a data source.',
    ),
    schemas: option.text('Schemas to describe, separated by commas. All that the account may see when left out.'),
    connectTimeout: option.duration('Longest wait for a connection and its login.', { default: '15s' }),
    statementTimeout: option.duration(
      'Longest wait for the driver: for the end of one statement, and for the next rows of a table that is read.',
      { default: '30m' },
    ),
    ...limits,
    maxValueBytes: option.int('Largest row that is taken, in bytes. A larger one is set aside as a reject.', {
      default: 64 * MiB,
      min: 1024,
      max: 256 * MiB,
    }),
  },
  open: () => import('./open.ts'),
})
