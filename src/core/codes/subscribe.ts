import { entry } from './entry.ts'

/** Errors of applications that take the changes of a source. */
export const subscribeCodes = {
  SUBSCRIBER_UNKNOWN: entry({
    text: (p: { name: string; known: readonly string[] }) =>
      `the configuration has no subscriber "${p.name}"${p.known.length === 0 ? '' : `; it has ${p.known.join(', ')}`}`,
    fix: 'Name it under subscribers in defineConfig, with its source and whether it may see personal values; restart the server.',
    retry: 'never',
    exit: 2,
  }),
  SUBSCRIBER_POSITION: entry({
    text: (p: { name: string; position: string }) =>
      `${JSON.stringify(p.position)} is no place that subscriber "${p.name}" was given`,
    fix: (p: { name: string }) =>
      `Give all 20 digits of the set as naru changes pull ${p.name} prints them; nothing was acknowledged.`,
    retry: 'never',
    exit: 2,
  }),
  SUBSCRIBER_SET_PAST: entry({
    text: (p: { name: string; position: string }) =>
      `the changes of set ${p.position} of subscriber "${p.name}" were asked for after the next set was`,
    fix: 'Read the changes of a set before asking for the next one; what was not acknowledged is given again.',
    retry: 'never',
  }),
} as const
