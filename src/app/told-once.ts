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
