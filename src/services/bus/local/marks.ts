import type { Segment } from './segment.ts'

/** Messages whose place in their file is known. */
const MARKS_MAX = 64

/** Where a message lies in its file, or will. */
export interface Mark {
  readonly number: number
  readonly segment: Segment
  readonly at: number
}

/**
 * Places in the files that readers came to. There is no index: a reader that begins within a segment reads it from its start, and
 * who reads a few messages again and again would read all of it each time.
 */
export class Marks {
  readonly #all: Mark[] = []

  note(mark: Mark): void {
    if (this.#all.some(it => it.segment === mark.segment && it.at === mark.at)) return
    this.#all.push(mark)
    if (this.#all.length > MARKS_MAX) this.#all.shift()
  }

  /** The nearest known place from which `segment` is read to come to a message; `null` where that is its start. */
  before(number: number, segment: Segment | undefined): Mark | null {
    const known = this.#all.filter(it => it.segment === segment && it.number <= number)
    return known.reduce<Mark | null>((best, it) => (best === null || it.number > best.number ? it : best), null)
  }
}
