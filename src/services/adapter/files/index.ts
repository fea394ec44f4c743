import { implement, option } from '../../../core/implementation.ts'

/** Adapter `files`: files that somebody drops into a folder, on any storage. */
export const files = implement({
  service: 'adapter',
  kind: 'files',
  summary: 'CSV files that somebody drops into a folder, of this machine, an FTP or SSH server, or an S3 store.',
  // A storage loads its own driver.
  needs: { '@duckdb/node-api': '1.5.6-r.1', '@duckdb/node-bindings': '1.5.6-r.1' },
  options: {
    folder: option.text(
      "A folder of this machine: absolute, or relative to the configuration's folder. Or give `url`.",
    ),
    url: option.secret(
      'Where the folder is: `ftp://user:password@host:21/folder`, `ftps://…`, `sftp://user@host:22/folder`, `s3://bucket/folder` or `file:///folder`.',
    ),
    settle: option.duration(
      'A file without a side-car is taken when it has not changed for this long between two looks at the folder.',
      { default: '1s' },
    ),
    timeout: option.duration('Longest wait for an answer of the server, and for the next bytes of a transfer.', {
      default: '30s',
    }),
    ca: option.secret("FTPS and S3: certificates of the server's authority, PEM, as `file('ca.pem')`."),
    nameEncoding: option.text('FTP: encoding of file names on a server without UTF-8, such as cp949.'),
    privateKey: option.secret("SFTP: private key of the user, as `file('id_ed25519')`, instead of a password."),
    passphrase: option.secret('SFTP: passphrase of the private key.'),
    hostKey: option.text(
      "SFTP: fingerprint of the server's key, `SHA256:…`, unless it stands in `~/.ssh/known_hosts`.",
    ),
    endpoint: option.text('S3: address of a compatible store, `https://store.example.com:9000`; Amazon when left out.'),
    region: option.text('S3: region of the bucket; that of the environment or us-east-1 when left out.'),
    pathStyle: option.flag('S3: with `endpoint`, the bucket is part of the path and not of the host name.', {
      default: true,
    }),
    accessKeyId: option.secret(
      'S3: access key, with `secretAccessKey`. Without, the chain of the AWS tools: variables, profile, role.',
    ),
    secretAccessKey: option.secret('S3: secret of the access key.'),
    sessionToken: option.secret('S3: token of a temporary access key.'),
  },
  open: () => import('./open.ts'),
})
