import { implement, option } from '../../../core/implementation.ts'

/** Adapter `files`: files that somebody drops into a folder, on any storage. */
export const files = implement({
  service: 'adapter',
  kind: 'files',
  summary:
    'Files in a folder of this machine, an FTP or SSH server, or an S3 store: CSV, JSON, fixed width, Parquet, Avro.',
  needs: {
    '@duckdb/node-api': '1.5.6-r.1',
    '@duckdb/node-bindings': '1.5.6-r.1',
    fzstd: '>=0.1.1 <0.2',
    yauzl: '>=3.1 <4',
  },
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
    maxLineBytes: option.int('Longest line, or JSON object, in bytes; a longer one is set aside.', {
      default: 1 << 20,
      min: 1 << 10,
      max: 256 << 20,
    }),
    maxValueBytes: option.int('Largest value of Parquet and Avro, in bytes; a row with a larger one is set aside.', {
      default: 64 << 20,
      min: 1,
      max: 256 << 20,
    }),
    maxExpansion: option.int(
      'How many times its size a file may grow when it is unpacked; 64 MiB are always allowed.',
      {
        default: 200,
        min: 1,
        max: 1_000_000,
      },
    ),
    maxRows: option.int('Most rows of a file.', { default: 1_000_000_000, min: 1 }),
    maxColumns: option.int('Most columns of a file.', { default: 10_000, min: 1, max: 100_000 }),
    maxDepth: option.int('How deep JSON and Avro values may be nested.', { default: 100, min: 1, max: 1000 }),
    maxElements: option.int('Most elements of the lists and maps of one row.', { default: 100_000, min: 1 }),
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
