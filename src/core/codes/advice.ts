import { entry } from './entry.ts'

/** Errors of the advisor and its trials. */
export const adviceCodes = {
  ADVICE_NO_TABLE: entry({
    text: (p: { source: string; table: string | null }) =>
      p.table === null
        ? `source "${p.source}" has no tables to advise on: it reads files, or its account sees none`
        : `source "${p.source}" has no table "${p.table}" that the account may read`,
    fix: 'Name a table of a database that the account may read, as source.table.',
    retry: 'never',
  }),
  TRIAL_NOT_POSSIBLE: entry({
    text: (p: { table: string; problem: string }) => `a trial on "${p.table}" is not possible: ${p.problem}`,
    fix: 'Name another table; the advice itself needs no trial.',
    retry: 'never',
  }),
} as const
