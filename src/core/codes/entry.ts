/**
 * One error that a user can meet.
 *
 * `text` says what happened and to which object, lower-case start, values in the text. `fix` says what to do next.
 * `retry` decides whether Naru tries again by itself: `never` needs a person or a change, `later` may pass on its own.
 * `exit` is the exit status of the command that ends with it: 1 failed, 2 wrong use, 3 rejects passed a limit.
 */
export interface CodeEntry<P> {
  readonly text: (params: P) => string
  readonly fix: string | ((params: P) => string)
  readonly retry: 'never' | 'later'
  readonly exit?: 1 | 2 | 3
}

/** A row of the table of errors; the parameters of its text are those that `fail` asks for. */
export function entry<P>(value: CodeEntry<P>): CodeEntry<P> {
  return value
}
