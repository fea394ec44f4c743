import type { Output } from './command.ts'
import { visible, visibleLines } from './format.ts'

/** The output of this process. */
export function processOutput(options: { readonly json: boolean; readonly quiet: boolean }): Output {
  const live = process.stderr.isTTY && !options.quiet
  let drawn = false
  const clear = (): void => {
    if (drawn) process.stderr.write('\r\u001b[2K')
    drawn = false
  }
  return {
    ...options,
    live,
    step: null,
    print: text => {
      clear()
      process.stdout.write(`${text}\n`)
    },
    note: text => {
      clear()
      // Names of tables, columns and files are in it, and they are whatever a source says.
      process.stderr.write(`${visibleLines(text)}\n`)
    },
    redraw: text => {
      clear()
      if (text === '') return
      process.stderr.write(visible(text).slice(0, (process.stderr.columns ?? 80) - 1))
      drawn = true
    },
  }
}
