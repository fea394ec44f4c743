import { entry } from './entry.ts'

/** Errors of the stages from interface to export. */
export const stageCodes = {
  KEY_NOT_UNIQUE: entry({
    text: (p: { table: string; load: bigint; key: string; repeated: number; missing: number }) =>
      `load ${p.load} of ${p.table} is refused: of its key (${p.key}) ${p.repeated} values stand in several rows, ${p.missing} are NULL`,
    fix: 'Declare the columns that really make a row unique as the key of the table.',
    retry: 'never',
  }),
  BACKFILL_UNREAD: entry({
    text: (p: { table: string }) =>
      `${p.table} was not read yet, or its columns changed since: there is nothing that a range could be replaced in`,
    fix: 'Run it without --from and --to first: that reads the whole table.',
    retry: 'never',
    exit: 2,
  }),
  BACKFILL_RANGE: entry({
    text: (p: { table: string; problem: string }) => `the backfill of ${p.table} cannot be read: ${p.problem}`,
    fix: 'Name one table and a half-open range: naru run ops.flight --from 2026-01-01 --to 2026-02-01, with --by COLUMN for another column than the one that the table is read by.',
    retry: 'never',
    exit: 2,
  }),
  LOAD_UNKNOWN: entry({
    text: (p: { load: string; why: string }) => `load ${p.load} cannot be undone: ${p.why}`,
    fix: 'List the loads with: naru sql \'select load, source, "table", state, rows_read from naru.load order by load desc\'.',
    retry: 'never',
    exit: 2,
  }),
  UNDO_LATER: entry({
    text: (p: { load: bigint; table: string; loads: string; rows: number }) =>
      `load ${p.load} of ${p.table} cannot be undone alone: later loads changed ${p.rows} of its rows (${p.loads})`,
    fix: (p: { load: bigint }) => `Undo the later loads as well, newest first: naru undo ${p.load} --cascade.`,
    retry: 'never',
    exit: 2,
  }),
  UNDO_REPLACED: entry({
    text: (p: { load: bigint; table: string; by: bigint }) =>
      `load ${p.load} of ${p.table} cannot be undone: load ${p.by} read the whole table anew since, because its columns changed`,
    fix: 'No row of it is in use any more. Correct the source and run again, or read a part of the table again with --from and --to.',
    retry: 'never',
    exit: 2,
  }),
  STAGES_DISAGREE: entry({
    text: (p: { from: string; to: string; rowsIn: number; rowsOut: number; aside: number }) =>
      `${p.from} has ${p.rowsIn} rows, but ${p.to} has ${p.rowsOut} and ${p.aside} are set aside: nothing is published`,
    fix: 'Report it with this text; the tables are as they were before the run.',
    retry: 'never',
  }),
  LOAD_REFUSED: entry({
    text: (p: { table: string; load: bigint; differences: string }) =>
      `load ${p.load} of ${p.table} is refused: the staged rows do not agree with the source's control totals (${p.differences})`,
    fix: 'Nothing of the load is visible. Run again; if it repeats, query naru.control_total for the load and report it.',
    retry: 'never',
  }),
  REJECT_LIMIT: entry({
    text: (p: {
      rule: string
      entity: string
      contributor: string
      failed: number
      checked: number
      allowed: number
    }) =>
      `${p.failed} of ${p.checked} rows of "${p.entity}" from "${p.contributor}" break the rule ${p.rule}; ${p.allowed} are allowed, so nothing of this run became visible`,
    fix: (p: { rule: string }) =>
      `See which rows with \`naru report\`, correct them in the source or repair them with cleanse, and run again; if they are as they should be, raise the limit of ${p.rule} or lower its severity.`,
    retry: 'never',
    exit: 3,
  }),
  REFERENCE_NOT_BUILT: entry({
    text: (p: { rule: string; entity: string; to: string }) =>
      `the rule ${p.rule} of "${p.entity}" refers to ${p.to}, which has not been built yet`,
    fix: 'Run it together with what it refers to; two entities cannot refer to each other in a circle.',
    retry: 'never',
  }),
  EXPORT_KEY_MASKED: entry({
    text: (p: { export: string; column: string; mask: string }) =>
      `export "${p.export}" masks its key column "${p.column}" with ${p.mask}, and several rows would share a key`,
    fix: 'Mask a key column only with mask.hash(), which keeps different keys apart, or leave it as it is.',
    retry: 'never',
    exit: 2,
  }),
  MASK_SECRET_EMPTY: entry({
    text: (p: { export: string; column: string; name: string }) =>
      `the secret "${p.name}" that masks column "${p.column}" of export "${p.export}" is empty: its tokens could be guessed`,
    fix: 'Set it to a long random value and keep that value: another one gives other tokens.',
    retry: 'never',
    exit: 2,
  }),
  ENTITY_WITHOUT_KEYS: entry({
    text: (p: { entity: string }) =>
      `no source gives the key of the entity "${p.entity}": there is no golden record that its matches could find`,
    fix: 'Add .from() with a source that has the key; a match only adds to records that exist.',
    retry: 'never',
    exit: 2,
  }),
} as const
