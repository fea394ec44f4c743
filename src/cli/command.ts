/** One flag: feeds parsing, help, completion and the reference page. */
export interface Flag {
  readonly name: string
  /** Absent for a switch; the placeholder in help for one that takes a value: `TIME`. */
  readonly value?: string
  readonly description: string
  readonly default?: string
}

/** One command of the line. Data only: what it does is loaded when it is called. */
export interface Command {
  readonly name: string
  readonly summary: string
  readonly positional?: {
    readonly name: string
    readonly description: string
    readonly min: number
    /** `null` for any number. */
    readonly max: number | null
  }
  readonly flags: readonly Flag[]
  readonly example: string
  readonly load: () => Promise<{ readonly run: (call: Call) => Promise<number | void> }>
}

/** A parsed call of a command. */
export interface Call {
  readonly args: readonly string[]
  flag(name: string): string | undefined
  has(name: string): boolean
  readonly output: Output
}

/** Where a command speaks. Facts go to stdout, progress and notes to stderr, so that a pipe gets only facts. */
export interface Output {
  readonly json: boolean
  readonly quiet: boolean
  /** True when stderr is a terminal that can redraw a line. */
  readonly live: boolean
  /** The step that is going on, for the message of an error that ends it. */
  step: string | null
  print(text: string): void
  note(text: string): void
  /** Redraws the progress line of a terminal; an empty text removes it. */
  redraw(text: string): void
}

/** Flags that every command takes. */
export const commonFlags: readonly Flag[] = [
  { name: 'config', value: 'FILE', description: 'the configuration', default: 'naru.config.ts in this folder' },
  { name: 'json', description: 'print one JSON object as the last line of stdout' },
  { name: 'quiet', description: 'no progress' },
  { name: 'help', description: 'show this help' },
]
