/**
 * Seeded corruptions of names, as people and old systems make them: for tests and benchmarks that ask a matcher to
 * find the original again. The same seed gives the same corruptions on every machine.
 */
export interface Corrupted<T> {
  readonly original: T
  readonly text: string
  /** What was done, in order. */
  readonly kinds: readonly CorruptionKind[]
}

const corruptionKinds = ['typo', 'swap', 'drop', 'reorder', 'abbreviate', 'punctuate'] as const
export type CorruptionKind = (typeof corruptionKinds)[number]

/** Whole numbers from 0 to `below` - 1, repeatable: the mulberry32 generator. */
export type Dice = (below: number) => number

/** Dice that roll the same for the same seed. */
export function dice(seed: number): Dice {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

/** `count` different items of `from`, in an order that the seed decides. */
export function sample<T>(from: readonly T[], count: number, roll: Dice): readonly T[] {
  const left = [...from]
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(roll(left.length), 1)[0] as T)
}

/** Applies `times` different kinds of corruption to the name of each item, and a random case. */
export function corruptAll<T>(
  items: readonly T[],
  nameOf: (item: T) => string,
  options: { readonly seed: number; readonly times: number },
): readonly Corrupted<T>[] {
  const roll = dice(options.seed)
  return items.map(original => ({ original, ...corrupt(nameOf(original), options.times, roll) }))
}

function corrupt(name: string, times: number, roll: Dice): { text: string; kinds: readonly CorruptionKind[] } {
  const kinds: CorruptionKind[] = []
  let words: readonly Word[] = name.split(' ').map(text => ({ text, damaged: false }))
  for (const kind of sample(corruptionKinds, corruptionKinds.length, roll)) {
    const changed: readonly Word[] | null = kinds.length < times ? change[kind](words, roll) : null
    if (changed === null) continue
    words = changed
    kinds.push(kind)
  }
  return { text: changeCase(words.map(word => word.text).join(' '), roll), kinds }
}

interface Word {
  readonly text: string
  /** Its letters were changed: a word is damaged once, or nothing of a short one would be left. */
  readonly damaged: boolean
}

/** Each kind of corruption; `null` when the name is too short for it. */
const change: Readonly<Record<CorruptionKind, (words: readonly Word[], roll: Dice) => readonly Word[] | null>> = {
  typo: (words, roll) => damageOne(words, roll, 4, run => mistype(run, roll)),
  swap: (words, roll) => damageOne(words, roll, 4, run => swapLetters(run, 1 + roll(run.length - 2))),
  abbreviate: (words, roll) => damageOne(words, roll, 6, run => shorten(run, roll)),
  // A name of two words keeps both: what is left of it would often name nothing.
  drop: (words, roll) => (words.length < 3 ? null : words.toSpliced(roll(words.length), 1)),
  reorder: (words, roll) => {
    if (words.length < 2) return null
    const from = roll(words.length)
    const to = (from + 1 + roll(words.length - 1)) % words.length
    return words.toSpliced(from, 1).toSpliced(to, 0, words[from] as Word)
  },
  punctuate: (words, roll) => {
    const marks = [' - ', '-', '/', ', ', '. ', ' (']
    const at = roll(words.length)
    const [word, next] = [words[at] as Word, words[at + 1]]
    if (next === undefined) return words.with(at, { ...word, text: `${word.text}.` })
    const text = word.text + (marks[roll(marks.length)] as string) + next.text
    return words.toSpliced(at, 2, { text, damaged: word.damaged || next.damaged })
  },
}

/** Changes one run of at least `length` letters in a word that is not damaged yet, if there is one. */
function damageOne(
  words: readonly Word[],
  roll: Dice,
  length: number,
  damage: (run: string) => string,
): readonly Word[] | null {
  const runs = words.flatMap((word, at) =>
    word.damaged ? [] : [...word.text.matchAll(/\p{L}+/gu)].map(match => ({ at, from: match.index, run: match[0] })),
  )
  const long = runs.filter(({ run }) => run.length >= length)
  const chosen = long[roll(long.length)]
  if (chosen === undefined) return null
  const { text } = words[chosen.at] as Word
  const changed = text.slice(0, chosen.from) + damage(chosen.run) + text.slice(chosen.from + chosen.run.length)
  return words.with(chosen.at, { text: changed, damaged: true })
}

function mistype(word: string, roll: Dice): string {
  const at = roll(word.length)
  const letter = 'abcdefghijklmnopqrstuvwxyz'[roll(26)] as string
  switch (roll(4)) {
    case 0:
      return word.slice(0, at) + letter + word.slice(at + 1)
    case 1:
      return word.slice(0, at) + word.slice(at + 1)
    case 2:
      return word.slice(0, at) + letter + word.slice(at)
    default:
      return word.slice(0, at) + word[at] + word.slice(at)
  }
}

function swapLetters(word: string, at: number): string {
  return word.slice(0, at) + word[at + 1] + word[at] + word.slice(at + 2)
}

/** `Internat.`, `Intrntnl` or `Intl`. */
function shorten(word: string, roll: Dice): string {
  const skeleton = word[0] + word.slice(1).replace(/[aeiou]/gi, '')
  switch (roll(3)) {
    case 0:
      return `${word.slice(0, 3 + roll(3))}.`
    case 1:
      return skeleton
    default:
      return skeleton.slice(0, 3) + (word.at(-1) as string)
  }
}

function changeCase(text: string, roll: Dice): string {
  const cases = [text.toUpperCase(), text.toLowerCase(), text]
  return cases[roll(3)] as string
}
