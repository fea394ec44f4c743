import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs the compiler on a project, as a user would; gives what it printed, without the path of this clone. */
export function compile(project: string, ...flags: readonly string[]): string {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const done = spawnSync(process.execPath, [tsc, '--pretty', 'false', '-p', project, ...flags], {
    cwd: root,
    encoding: 'utf8',
  })
  if (done.error !== undefined) throw done.error
  return done.stdout.replaceAll(root, '')
}

export interface Diagnostic {
  readonly file: string
  readonly line: number
  readonly column: number
  /** The message with its indented lines. */
  readonly text: string
}

export function diagnosticsOf(output: string): readonly Diagnostic[] {
  return output
    .split(/^(?=\S)/m)
    .map(part => /^(\S+?)\((\d+),(\d+)\): error ([^]*)$/.exec(part))
    .filter(match => match !== null)
    .map(([, file, line, column, text]) => ({
      file: file as string,
      line: Number(line),
      column: Number(column),
      text: (text as string).trimEnd(),
    }))
}
