import { entry } from './entry.ts'

/** Errors of the configuration, its options and secrets. */
export const configCodes = {
  CONFIG_NOT_FOUND: entry({
    text: (p: { path: string }) => `no configuration at ${p.path}`,
    fix: 'Run the command in the folder of naru.config.ts, name the file with --config, or write one with `naru init`.',
    retry: 'never',
    exit: 2,
  }),
  CONFIG_INVALID: entry({
    text: (p: { path: string; problem: string }) => `${p.path}: ${p.problem}`,
    fix: 'Correct the configuration; an editor with TypeScript marks most mistakes on the faulty word.',
    retry: 'never',
    exit: 2,
  }),
  ENV_MISSING: entry({
    text: (p: { name: string; usedBy: string }) =>
      `the environment variable ${p.name} is not set; ${p.usedBy} needs it`,
    fix: (p: { name: string }) => `Set it: export ${p.name}=...`,
    retry: 'never',
    exit: 2,
  }),
  DRIVER_MISSING: entry({
    text: (p: { package: string; service: string; kind: string }) =>
      `cannot load "${p.package}" for ${p.service} "${p.kind}"`,
    fix: (p: { package: string }) => `Install it: npm install ${p.package}`,
    retry: 'never',
    exit: 2,
  }),
  OPTION_INVALID: entry({
    text: (p: { where: string; option: string; problem: string }) =>
      `${p.where}: the option "${p.option}" ${p.problem}`,
    fix: 'Correct the option in the configuration.',
    retry: 'never',
    exit: 2,
  }),
  SECRET_FILE: entry({
    text: (p: { file: string; problem: string }) => `the secret file ${p.file} cannot be read: ${p.problem}`,
    fix: 'Check the path (relative to the folder of the configuration) and its permissions.',
    retry: 'never',
    exit: 2,
  }),
  PULL_CONFIG: entry({
    text: (p: { problem: string }) => `the configuration cannot tell where the sources are: ${p.problem}`,
    fix: 'Before the first pull, or while the configuration is broken, name the system here: naru pull ops --from postgres --url OPS_URL, or naru pull legacy --from sqlite --path FILE.',
    retry: 'never',
    exit: 2,
  }),
} as const
