import type { Emit, RunEvent } from '../core/events.ts'

/** Says a cause once, and again only when it was another one or away meanwhile: what is looked at again and again would fill a log. */
export class ToldOnce {
  #told = new Set<string>()
  #now = new Set<string>()

  /** True when the last round did not have it, and this one for the first time. */
  isNew(cause: string): boolean {
    const isKnown = this.#told.has(cause) || this.#now.has(cause)
    this.#now.add(cause)
    return !isKnown
  }

  /** A round has ended: what it did not have is new when it comes again. */
  endRound(): void {
    this.#told = this.#now
    this.#now = new Set()
  }
}

/** By what a note is known again: its code, and the object that it is of or else what it says. */
export function keyOf({ code, about, text }: RunEvent & { readonly kind: 'note' }): string {
  return `${code ?? ''} ${about ?? text}`
}

/** Tells the same without the notes that the last round made already. */
export function telling(emit: Emit, told: ToldOnce): Emit {
  return event => {
    const isNew = event.kind !== 'note' || told.isNew(keyOf(event))
    if (isNew) emit(event)
  }
}
