import { realEnv } from '../core/env.ts'
import { fail } from '../core/errors.ts'
import { openProject, projectPlace, type OpenProject, type ProjectPlace } from '../app/project.ts'
import type { Call } from './command.ts'
import { visible } from './format.ts'

/** Where the project is that a command is about, whatever stands in its configuration. */
export function placeOf(call: Call): ProjectPlace & { readonly configFile: string } {
  return projectPlace(realEnv(), { config: call.flag('config'), cwd: process.cwd() })
}

/** Opens the project that a command is about: `--config`, or `naru.config.ts` in the current folder. */
export async function projectOf(call: Call): Promise<OpenProject> {
  const open = await openProject(realEnv(), { config: call.flag('config'), cwd: process.cwd() })
  // Once for each process: a command may read several times.
  const said = new Set<string>()
  const notice = (text: string): void => {
    if (!call.output.quiet && !said.has(text)) call.output.note(text)
    said.add(text)
  }
  return { ...open, notice }
}

/** The configuration that a command is about, which may not be there. */
export function configFileOf(call: Call): string {
  return placeOf(call).configFile
}

/** Aborts at Ctrl-C and at a polite end from outside, so that the run rolls back and says so. */
export function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => controller.abort(fail('CANCELLED', { what: `the command (${name})` })))
  }
  return controller.signal
}

/** Prints the result of a command: facts for a person, or one JSON object. */
export function printResult(call: Call, result: Readonly<Record<string, unknown>>, text: () => string): void {
  call.output.redraw('')
  // Names in it are whatever a source says; the lines are ours.
  call.output.print(call.output.json ? jsonText(result) : text().split('\n').map(visible).join('\n'))
}

/** Facts as one line of JSON; large numbers are text. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner))
}
