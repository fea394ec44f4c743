import { entry } from './entry.ts'

/** Errors of the changes of a source on their way through the durable log. */
export const streamCodes = {
  STREAM_LOG_GONE: entry({
    text: (p: { source: string; topic: string; position: string; problem: string }) =>
      `the durable log ${p.topic} of source "${p.source}" ${p.problem}: tables were read to ${p.position} of it, and what came behind cannot be told`,
    fix: (p: { source: string }) =>
      `Bring the newest .naru/bus of the project back: then nothing is missed. Otherwise naru resync ${p.source} installs the stream anew, reads its tables and compares: rows are right then, versions between are missed, also by subscribers.`,
    retry: 'never',
  }),
  STREAM_TABLE_LOST: entry({
    text: (p: { source: string; table: string; problem: string }) =>
      `${p.source}.${p.table} is not followed any more: ${p.problem}; its changes since then are missed`,
    fix: (p: { source: string; table: string }) =>
      `naru resync ${p.source}.${p.table} reads the table again and follows it from then on: its rows are right then, versions between are missed, also by subscribers. The other tables of the source go on.`,
    retry: 'never',
  }),
  STREAM_UNABLE: entry({
    text: (p: { source: string; technique: string; tables: string }) =>
      `source "${p.source}" gives no changes by the technique ${p.technique}, which ${p.tables} ask for`,
    fix: 'Use a technique that the source has; naru advise lists them.',
    retry: 'never',
  }),
  STREAM_BEHIND: entry({
    text: (p: { source: string; head: string; reached: string }) =>
      `the stream of source "${p.source}" ended at ${p.reached}, before ${p.head}, which the source had reached when the run began`,
    fix: 'Run again: the run goes on where this one ended. When it happens again, look at the connection to the source.',
    retry: 'later',
  }),
  APPEND_UNABLE: entry({
    text: (p: { table: string }) =>
      `${p.table} has no key, and its source does not tell which transactions a view of it has: its rows and its changes cannot meet exactly`,
    fix: "Name the columns that tell its rows apart as its key, or give it `start: 'now'`: its rows are not read then, only its changes.",
    retry: 'never',
  }),
  APPEND_PART_ROWS: entry({
    text: (p: { source: string; table: string; key: string }) =>
      `table "${p.table}" of source "${p.source}" is an append log, and its source tells no more than ${p.key} of the rows that updates and deletes take away`,
    fix: 'Run `alter table … replica identity full`, then `naru resync SOURCE`, which begins the log anew; or name its key in the schema module.',
    retry: 'never',
  }),
  RESYNC_UNABLE: entry({
    text: (p: { asked: string; problem: string; fix: string }) => `${p.asked} cannot be read again: ${p.problem}`,
    fix: p => p.fix,
    retry: 'never',
    exit: 2,
  }),
  RESYNC_WHERE: entry({
    text: (p: { where: string; problem: string }) => `with --where ${JSON.stringify(p.where)}, ${p.problem}`,
    fix: "Correct the condition, which is in the source's own SQL, and quote it for the shell. If it is right, run the command again.",
    retry: 'never',
  }),
  RESYNC_TOLD_ONCE: entry({
    text: (p: { table: string }) =>
      `${p.table} cannot be read again: its source sends events and has no tables, and an event is told once`,
    fix: 'Have the application send the rows again, each as an event with a new idempotency key: what is here already changes nothing.',
    retry: 'never',
    exit: 2,
  }),
  RESYNC_WAITS: entry({
    text: (p: { table: string }) =>
      `${p.table} was not read again to its end, because the hours of its source are over; nothing was compared`,
    fix: 'Run it again within the hours of the source; it begins anew.',
    retry: 'later',
  }),
  RESYNC_CHANGED: entry({
    text: (p: { table: string }) =>
      `${p.table} got another shape, or began anew in its stream, while it was read again; nothing was compared`,
    fix: 'Run it again: it begins anew.',
    retry: 'later',
  }),
  COMPARISON_DIFFERS: entry({
    text: (p: { table: string; range: string; rows: number; keys: string }) =>
      `${p.table} is not what its source has: compared were the keys ${p.range}, and ${p.rows} rows differ: ${p.keys}`,
    fix: (p: { table: string }) =>
      `Read the table again with naru resync ${p.table}. Then find out how the changes passed the stream: naru.comparison has the keys, docs/guide/operations.md the usual causes.`,
    retry: 'never',
  }),
  STREAM_LAG: entry({
    text: (p: { source: string; technique: string; problem: string }) =>
      `what source "${p.source}" keeps of its changes for us (${p.technique}) needs a look: ${p.problem}`,
    fix: 'naru status says whether they are read (by naru start), and what is in the way: its disk may fill meanwhile. Where nothing can be done, naru stop and drop what the stream made at the source: it stops with POSITION_LOST then, and naru resync of the source reads its tables again.',
    retry: 'later',
  }),
}
