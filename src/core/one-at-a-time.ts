/** Tasks that may not run beside each other: the statements of one connection, the writes of one file. */
export interface OneAtATime {
  /**
   * Runs a task when those before it have ended, however they ended: what a failure forbids to who comes behind it, the task
   * itself refuses. Its own failure goes to who asked for it. A task that waits for another of its kind waits for ever.
   */
  run<T>(task: () => T | Promise<T>): Promise<T>
  /** Waits for a turn that lasts until what it gives is called: for what is no single call, as rows that are read to their end. */
  enter(): Promise<() => void>
  /** Resolves when everything that was asked for until now has ended, however it ended. */
  idle(): Promise<void>
}

/** A line of its own: tasks of different lines know nothing of each other. */
export function oneAtATime(): OneAtATime {
  let last: Promise<void> = Promise.resolve()
  const run: OneAtATime['run'] = task => {
    const mine = last.then(task)
    last = mine.then(nothing, nothing)
    return mine
  }
  return {
    run,
    enter: () =>
      new Promise(entered => {
        void run(() => new Promise<void>(leave => entered(leave)))
      }),
    idle: () => last,
  }
}

function nothing(): void {}
