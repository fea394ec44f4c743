import { implement, option } from '../../../core/implementation.ts'

/** Adapter `files`: files that somebody drops into a folder, on any storage. */
export const files = implement({
  service: 'adapter',
  kind: 'files',
  summary: 'CSV files that somebody drops into a folder, of this machine or of an FTP server.',
  // A storage loads its own driver.
  needs: { '@duckdb/node-api': '1.5.6-r.1', '@duckdb/node-bindings': '1.5.6-r.1' },
  options: {
    folder: option.text(
      "A folder of this machine: absolute, or relative to the configuration's folder. Or give `url`.",
    ),
    url: option.secret(
      'Where the folder is, when that needs a password: `ftp://user:password@host:21/folder` or `file:///folder`.',
    ),
    settle: option.duration(
      'A file without a side-car is taken when it has not changed for this long between two looks at the folder.',
      { default: '1s' },
    ),
    timeout: option.duration('Longest wait for an answer of the server, and for the next bytes of a transfer.', {
      default: '30s',
    }),
  },
  open: () => import('./open.ts'),
})
