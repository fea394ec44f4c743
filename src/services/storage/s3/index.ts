import { implement, option } from '../../../core/implementation.ts'

const MiB = 1024 * 1024

/** Storage `s3`: objects below a prefix of a bucket. */
export const s3 = implement({
  service: 'storage',
  kind: 's3',
  summary: 'Objects in Amazon S3 or a compatible store.',
  needs: { '@aws-sdk/client-s3': '>=3.600 <4' },
  options: {
    url: option.required.secret('Bucket and prefix: `s3://bucket/folder`.'),
    endpoint: option.text('Address of a compatible store: `https://store.example.com:9000`; Amazon when left out.'),
    region: option.text('Region of the bucket; that of the environment or `us-east-1` when left out.'),
    pathStyle: option.flag('Only with `endpoint`: the bucket is part of the path, not of the host name.', {
      default: true,
    }),
    accessKeyId: option.secret(
      'Access key; with `secretAccessKey`. Without, the usual chain of the AWS tools: variables, profile, role of the machine.',
    ),
    secretAccessKey: option.secret('Secret of the access key.'),
    sessionToken: option.secret('Token of a temporary access key.'),
    ca: option.secret("Certificates of the store's authority, PEM, as `file('ca.pem')`; those of Node when left out."),
    partBytes: option.int('Size of one part of a large upload, in bytes; up to four parts are held in memory.', {
      default: 8 * MiB,
      min: 5 * MiB,
      max: 512 * MiB,
    }),
    timeout: option.duration('Longest wait for an answer, and for the next bytes of a transfer.', { default: '30s' }),
  },
  open: () => import('./open.ts'),
})
