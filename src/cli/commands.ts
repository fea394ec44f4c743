import type { Command, Flag } from './command.ts'

const limitFlag: Flag = { name: 'limit', value: 'ROWS', description: 'show at most so many rows', default: '100' }

/** Every command, in the order of help. Importing this loads none of them. */
export const commands: readonly Command[] = [
  {
    name: 'init',
    summary: 'Write a first project: a config, a sample source, a test.',
    positional: { name: 'folder', description: 'new or empty; made when missing', min: 1, max: 1 },
    flags: [],
    example: 'naru init my-project',
    load: () => import('./init.ts'),
  },
  {
    name: 'demo',
    summary: 'Run the airline example end to end, with its own source systems.',
    flags: [
      { name: 'keep', description: 'leave the source systems running, and say how to stop them' },
      { name: 'stop', description: 'stop the source systems that --keep left running' },
      { name: 'flights', value: 'ROWS', description: 'load only the first so many flights', default: '3000000' },
    ],
    example: 'naru demo --keep',
    load: () => import('./demo.ts'),
  },
  {
    name: 'pull',
    summary: "Read a source's catalog and write its typed schema module.",
    positional: {
      name: 'source',
      description: 'source to renew, or source.table to take into its module; all databases by default',
      min: 0,
      max: null,
    },
    flags: [
      { name: 'out', value: 'FOLDER', description: 'where the modules are, beside the config', default: 'schema' },
      { name: 'all', description: 'take every table, also those that the module left out' },
      {
        name: 'from',
        value: 'SYSTEM',
        description:
          'read a system that the config does not name yet: postgres, mysql, odbc, cassandra, sqlite or files',
      },
      {
        name: 'url',
        value: 'VARIABLE',
        description: 'with --from postgres, mysql, odbc, cassandra or files: the environment variable of its address',
      },
      {
        name: 'path',
        value: 'FILE',
        description: 'with --from sqlite the database file, with --from files the folder',
      },
    ],
    example: 'naru pull ops --from postgres --url OPS_URL',
    load: () => import('./pull.ts'),
  },
  {
    name: 'check',
    summary: 'Evaluate the config, connect to each system, and name every problem at once.',
    flags: [{ name: 'offline', description: 'evaluate the config only, connect to nothing' }],
    example: 'naru check',
    load: () => import('./check.ts'),
  },
  {
    name: 'plan',
    summary: 'Show what a run would do: what is new, what changed, what follows from it.',
    flags: [],
    example: 'naru plan',
    load: () => import('./plan.ts'),
  },
  {
    name: 'run',
    summary: 'Bring change sets across, from where the last run stopped.',
    positional: { name: 'table', description: 'source or source.table to read; all by default', min: 0, max: null },
    flags: [
      { name: 'hash', description: 'compare the content hash of every load as well' },
      { name: 'chunks', description: 'compare every chunk with the source, not only the whole load' },
      { name: 'from', value: 'VALUE', description: 'backfill: read this range of one table again, from here' },
      { name: 'to', value: 'VALUE', description: 'backfill: up to here, which is not part of it' },
      {
        name: 'by',
        value: 'COLUMN',
        description: 'backfill: the column of the range; the one of its change technique',
      },
    ],
    example: 'naru run ops.flight --from 2026-01-01 --to 2026-02-01',
    load: () => import('./run.ts'),
  },
  {
    name: 'undo',
    summary: 'Take a published load back: its rows become what they were before.',
    positional: { name: 'load', description: 'number of the load, as in naru.load and in _load', min: 1, max: 1 },
    flags: [
      { name: 'cascade', description: 'undo the later loads that changed the same rows as well' },
      { name: 'keep-position', description: 'do not read the range of the load again in the next run' },
    ],
    example: 'naru undo 42',
    load: () => import('./undo.ts'),
  },
  {
    name: 'status',
    summary: 'Show the last runs, how far each source is read, and what waits in quarantine.',
    flags: [],
    example: 'naru status',
    load: () => import('./status.ts'),
  },
  {
    name: 'report',
    summary: 'Write the quality report of the last run as HTML and JSON.',
    flags: [{ name: 'out', value: 'FOLDER', description: 'where it is written', default: '.naru/report' }],
    example: 'naru report --out public',
    load: () => import('./report.ts'),
  },
  {
    name: 'quarantine',
    summary: 'List the rejected rows, show one, repair a value, and send them back in.',
    positional: { name: 'action', description: 'list, show, fix or recycle, then what it takes', min: 1, max: null },
    flags: [limitFlag],
    example: 'naru quarantine recycle flight',
    load: () => import('./quarantine.ts'),
  },
  {
    name: 'sql',
    summary: 'Query the warehouse, read-only, from an argument or a pipe; or a source, as its account may read it.',
    positional: { name: 'query', description: 'one SELECT; read from stdin when absent', min: 0, max: 1 },
    flags: [
      limitFlag,
      {
        name: 'from',
        value: 'ADDRESS',
        description: 'ask a source instead, in its own SQL: an address as of transfer',
      },
      { name: 'tables', description: 'with --from: list the tables of the source' },
    ],
    example: "naru sql 'select * from mart.delay_by_month_origin'",
    load: () => import('./sql.ts'),
  },
  {
    name: 'transfer',
    summary: 'Move a table or a query between two systems, without a project: all of it or nothing, and proven equal.',
    positional: {
      name: 'from to | name',
      description:
        'each end is env:VARIABLE#table (a database whose address is in a variable), shop.db#table, source#table of the config, or a file; a name is that of a transfer of the config; without any, those are listed',
      min: 0,
      max: 2,
    },
    flags: [
      { name: 'all', description: 'move every table of the source, each into a table of the same name' },
      { name: 'except', value: 'TABLES', description: 'with --all: not these, with commas between them' },
      { name: 'query', value: 'SELECT', description: "read a query in the source's own SQL instead of a table" },
      { name: 'where', value: 'CONDITION', description: "read only these rows, in the source's own SQL" },
      { name: 'columns', value: 'NAMES', description: 'read only these columns, with commas between them' },
      {
        name: 'mode',
        value: 'MODE',
        description: 'replace, insert, update, upsert, delete or call',
        default: 'replace',
      },
      {
        name: 'key',
        value: 'NAMES',
        description: 'columns that find a row of the target',
        default: "the source's key",
      },
      { name: 'create', description: 'make the target when it is not there' },
      { name: 'split-by', value: 'NAMES', description: 'columns to cut the source by', default: "the source's key" },
      {
        name: 'chunk-rows',
        value: 'ROWS',
        description: 'rows of one chunk: what a broken transfer repeats',
        default: '250000',
      },
      { name: 'parallel', value: 'CHUNKS', description: 'chunks that are read at the same time', default: '1' },
      {
        name: 'validate',
        value: 'HOW',
        description: 'compare both ends by count, totals or hash',
        default: 'totals where both ends compute them, else count',
      },
      {
        name: 'incremental',
        value: 'COLUMN',
        description:
          'read only rows whose value came since the last transfer; with --mode insert, upsert, update or call',
      },
      {
        name: 'last-value',
        value: 'VALUE',
        description: 'with --incremental: what counts as seen: a number, text, or a date and time as ISO 8601 in UTC',
        default: 'what the last transfer saw',
      },
      {
        name: 'missed',
        value: 'WHAT',
        description: 'refuse or report keys that find no row, or many',
        default: 'refuse',
      },
    ],
    example: "naru transfer env:SHOP_URL#orders archive.db#orders --where 'year < 2026' --create",
    load: () => import('./transfer.ts'),
  },
  {
    name: 'lineage',
    summary: 'Follow a table or a column back to its sources and forward to what is made of it.',
    positional: { name: 'table[.column]', description: 'such as mart.sales or ods.airport.name', min: 0, max: 1 },
    flags: [],
    example: 'naru lineage dw.fact_flight.delay',
    load: () => import('./lineage.ts'),
  },
  {
    name: 'completion',
    summary: 'Print the completion script of a shell.',
    positional: { name: 'shell', description: 'bash or zsh', min: 1, max: 1 },
    flags: [],
    example: 'source <(naru completion bash)',
    load: () => import('./completion.ts'),
  },
]
