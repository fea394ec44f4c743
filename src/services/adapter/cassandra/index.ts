import { implement, option } from '../../../core/implementation.ts'
import { limits } from '../options.ts'

const MiB = 1024 * 1024

/** The Cassandra adapter, described. */
export const cassandra = implement({
  service: 'adapter',
  kind: 'cassandra',
  summary:
    'Tables and views of Cassandra 3.11 and newer, read by ranges of tokens. Cassandra has no snapshot: what changes while a table is read may be in it or not.',
  needs: { 'cassandra-driver': '>=4.8 <5' },
  options: {
    url: option.required.secret(
      'Address of the cluster: cassandra://user:password@host1,host2:9042/keyspace; cassandras:// with TLS.',
    ),
    localDataCenter: option.text('Data centre whose nodes are asked. All nodes in turn when left out.'),
    consistency: option.choice('How many replicas must agree on what is read.', {
      choices: ['one', 'local_one', 'quorum', 'local_quorum', 'all'],
      default: 'local_quorum',
    }),
    connectTimeout: option.duration('Longest wait for a connection and its login.', { default: '15s' }),
    answerTimeout: option.duration('Longest wait for the answer to one statement or page.', { default: '1m' }),
    ...limits,
    maxValueBytes: option.int('Largest row that is taken, in bytes. A larger one is set aside as a reject.', {
      default: 64 * MiB,
      min: 1024,
      max: 256 * MiB,
    }),
  },
  open: () => import('./open.ts'),
})
