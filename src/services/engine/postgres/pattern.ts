import { fail } from '../../../core/errors.ts'

/** Code points from the first to the last, both included. */
type Range = readonly [first: number, last: number]

/** What a pattern is in PostgreSQL's own kind of regular expressions. */
export interface Translated {
  readonly text: string
  /**
   * Finds the same extents as RE2, not only a match in the same texts: no alternation, laziness or repeated group, and
   * it is never empty.
   */
  readonly sameExtent: boolean
}

const LAST = 0x10ffff
const REPEAT_MAX = 255
const digits: readonly Range[] = [[0x30, 0x39]]
const wordCharacters: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const spaces: readonly Range[] = [
  [0x09, 0x0a],
  [0x0c, 0x0d],
  [0x20, 0x20],
]
const controls: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }
const posix: Readonly<Record<string, readonly Range[]>> = {
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  ascii: [[1, 0x7f]],
  blank: [
    [9, 9],
    [0x20, 0x20],
  ],
  cntrl: [
    [1, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: digits,
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [9, 13],
    [0x20, 0x20],
  ],
  upper: [[0x41, 0x5a]],
  word: wordCharacters,
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
}

/**
 * Writes an RE2 pattern for PostgreSQL. Classes become explicit code points, so that no locale decides what a letter is.
 * Throws `ENGINE_CANNOT` for what has no equal there.
 */
export function translatePattern(pattern: string): Translated {
  return new Parser(pattern).translate()
}

interface Flags {
  readonly fold: boolean
  readonly dotAll: boolean
  readonly lines: boolean
}

/** A recursive descent over the pattern; lives for one translation. */
class Parser {
  readonly #pattern: string
  readonly #characters: readonly string[]
  #at = 0
  #sameExtent = true
  /** Something in it cannot be left out, so that no match is empty. */
  #consumes = false

  constructor(pattern: string) {
    this.#pattern = pattern
    this.#characters = [...pattern]
  }

  translate(): Translated {
    const text = this.#alternatives({ fold: false, dotAll: false, lines: false })
    if (this.#at < this.#characters.length) this.#refuse('a parenthesis closes nothing')
    return { text, sameExtent: this.#sameExtent && this.#consumes }
  }

  #refuse(why: string): never {
    throw fail('ENGINE_CANNOT', { engine: 'postgres', what: `the pattern /${this.#pattern}/`, why })
  }

  get #next(): string | undefined {
    return this.#characters[this.#at]
  }

  #take(text: string): boolean {
    const found = [...text].every((character, i) => this.#characters[this.#at + i] === character)
    if (found) this.#at += [...text].length
    return found
  }

  #alternatives(given: Flags): string {
    let flags = given
    let text = ''
    for (;;) {
      const next = this.#next
      if (next === undefined || next === ')') return text
      if (this.#take('|')) {
        this.#sameExtent = false
        text += '|'
      } else if (this.#take('(?')) {
        const group = this.#flaggedGroup(flags)
        if (typeof group === 'string') text += this.#repeated(group, true)
        else flags = group
      } else if (this.#take('(')) {
        text += this.#repeated(this.#group('(', flags), true)
      } else {
        const { atom, repeatable } = this.#atom(flags)
        text += repeatable ? this.#repeated(atom, false) : this.#unrepeated(atom)
      }
    }
  }

  #group(open: string, flags: Flags): string {
    const inner = this.#alternatives(flags)
    if (!this.#take(')')) this.#refuse('a parenthesis is not closed')
    return `${open}${inner})`
  }

  /** Behind `(?`: a group without a number, a named one, or flags from here on. */
  #flaggedGroup(flags: Flags): string | Flags {
    if (this.#take('P<') || this.#take('<')) {
      while (this.#next !== undefined && this.#next !== '>') this.#at++
      this.#at++
      return this.#group('(', flags)
    }
    let on = true
    const set: Record<string, boolean> = {}
    for (;;) {
      const letter = this.#next ?? this.#refuse('a group is not closed')
      this.#at++
      if (letter === '-') on = false
      else if ('ims'.includes(letter)) set[letter] = on
      else if (letter === ':' || letter === ')') {
        const now = {
          fold: set['i'] ?? flags.fold,
          lines: set['m'] ?? flags.lines,
          dotAll: set['s'] ?? flags.dotAll,
        }
        return letter === ')' ? now : this.#group('(?:', now)
      } else this.#refuse(`it has the flag ${letter}`)
    }
  }

  #unrepeated(atom: string): string {
    if (this.#next !== undefined && '*+?'.includes(this.#next)) this.#refuse('it repeats a position')
    return atom
  }

  #repeated(atom: string, isGroup: boolean): string {
    let text = atom
    for (let times = 0; ; times++) {
      const quantifier = this.#quantifier()
      if (quantifier === null || /^(\+|\{[1-9])/.test(quantifier)) this.#consumes ||= times === 0 && !isGroup
      if (quantifier === null) return text
      if (isGroup || times > 0) this.#sameExtent = false
      text = (times > 0 ? `(?:${text})` : text) + quantifier
      if (this.#take('?')) this.#sameExtent = false
    }
  }

  #quantifier(): string | null {
    for (const simple of ['*', '+', '?']) if (this.#take(simple)) return simple
    const counted = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#characters.slice(this.#at, this.#at + 12).join(''))
    if (counted === null) return null
    this.#at += counted[0].length
    if (Number(counted[1]) > REPEAT_MAX || Number(counted[3] ?? 0) > REPEAT_MAX) {
      this.#refuse(`it repeats over ${REPEAT_MAX} times`)
    }
    return counted[0]
  }

  #atom(flags: Flags): { readonly atom: string; readonly repeatable: boolean } {
    const character = this.#characters[this.#at++] as string
    const position = (atom: string): { atom: string; repeatable: boolean } => ({ atom, repeatable: false })
    const set = (ranges: readonly Range[]): { atom: string; repeatable: boolean } => {
      return { atom: setText(flags.fold ? folded(ranges) : ranges), repeatable: true }
    }
    switch (character) {
      case '^':
        return position(flags.lines ? '(?:^|(?<=\\n))' : '^')
      case '$':
        return position(flags.lines ? '(?:$|(?=\\n))' : '$')
      case '.':
        return { atom: setText(flags.dotAll ? [[1, LAST]] : complement([[10, 10]])), repeatable: true }
      case '[':
        return { atom: setText(this.#bracket(flags)), repeatable: true }
      case '*':
      case '+':
      case '?':
        return this.#refuse('it repeats nothing')
      case '\\':
        return this.#escape(position, set)
      default:
        return set([single(character)])
    }
  }

  #escape<T>(position: (atom: string) => T, set: (ranges: readonly Range[]) => T): T {
    const places: Readonly<Record<string, string>> = { A: '^', z: '$', b: '\\y', B: '\\Y' }
    const letter = this.#next ?? this.#refuse('it ends in a backslash')
    if (places[letter] !== undefined) {
      this.#at++
      return position(places[letter])
    }
    if (letter === 'Q') this.#refuse('it quotes by \\Q; escape the characters one by one')
    return set(this.#escaped())
  }

  /** The characters that an escape stands for, in a class or outside of one. */
  #escaped(): readonly Range[] {
    const letter = this.#characters[this.#at++] ?? this.#refuse('it ends in a backslash')
    const classes: Readonly<Record<string, readonly Range[]>> = { d: digits, w: wordCharacters, s: spaces }
    const small = letter.toLowerCase()
    const known = classes[small]
    if (known !== undefined) return letter === small ? known : complement(known)
    if (small === 'p') return this.#property(letter === 'P')
    if (letter === 'x') return [this.#hexadecimal()]
    if (controls[letter] !== undefined) return [[controls[letter], controls[letter]]]
    if (/[A-Za-z0-9]/.test(letter)) this.#refuse(`it has the escape \\${letter}`)
    return [single(letter)]
  }

  #hexadecimal(): Range {
    const rest = this.#characters.slice(this.#at, this.#at + 12).join('')
    const found = /^\{([0-9A-Fa-f]{1,6})\}/.exec(rest) ?? /^([0-9A-Fa-f]{2})/.exec(rest)
    if (found === null) return this.#refuse('it has \\x without digits')
    this.#at += found[0].length
    const point = Number.parseInt(found[1] as string, 16)
    return [point, point]
  }

  #property(negated: boolean): readonly Range[] {
    let name = this.#characters[this.#at++] ?? ''
    if (name === '{') {
      name = ''
      while (this.#next !== undefined && this.#next !== '}') name += this.#characters[this.#at++]
      this.#at++
    }
    const inverse = name.startsWith('^') !== negated
    const found = propertyRanges(name.replace('^', ''))
    if (found === null) return this.#refuse(`it has the class \\p{${name}}`)
    return inverse ? complement(found) : found
  }

  #bracket({ fold }: Flags): readonly Range[] {
    const negated = this.#take('^')
    const ranges: Range[] = []
    for (let first = true; first || this.#next !== ']'; first = false) {
      if (this.#next === undefined) this.#refuse('a class is not closed')
      ranges.push(...this.#bracketItem())
    }
    this.#at++
    const all = fold ? folded(ranges) : ranges
    return negated ? complement(all) : all
  }

  #bracketItem(): readonly Range[] {
    const named = /^\[:(\^?)(\w+):\]/.exec(this.#characters.slice(this.#at, this.#at + 14).join(''))
    if (named !== null) {
      this.#at += named[0].length
      const known = posix[named[2] as string] ?? this.#refuse(`it has the class ${named[0]}`)
      return named[1] === '^' ? complement(known) : known
    }
    const from = this.#bracketCharacter()
    const isRange = from.length === 1 && from[0]?.[0] === from[0]?.[1] && this.#next === '-'
    if (!isRange || this.#characters[this.#at + 1] === ']') return from
    this.#at++
    const to = this.#bracketCharacter()
    const [first, last] = [from[0]?.[0] as number, to[0]?.[0] as number]
    if (to.length !== 1 || to[0]?.[1] !== last || last < first) this.#refuse('a range in a class is inverted')
    return [[first, last]]
  }

  #bracketCharacter(): readonly Range[] {
    if (this.#take('\\')) return this.#escaped()
    return [single(this.#characters[this.#at++] ?? this.#refuse('a class is not closed'))]
  }
}

function single(character: string): Range {
  const point = character.codePointAt(0) as number
  return [point, point]
}

const propertyCache = new Map<string, readonly Range[] | null>()

/** The code points of a general category or a script, as JavaScript knows them. */
function propertyRanges(name: string): readonly Range[] | null {
  const known = propertyCache.get(name)
  if (known !== undefined) return known
  const ranges = name === 'Any' ? [[1, LAST] as const] : (scan(`\\p{gc=${name}}`) ?? scan(`\\p{sc=${name}}`))
  propertyCache.set(name, ranges)
  return ranges
}

function scan(property: string): readonly Range[] | null {
  if (!/^\\p\{\w+=\w+\}$/.test(property)) return null
  let test: RegExp
  try {
    test = new RegExp(`^${property}$`, 'u')
  } catch {
    return null // no such category or script: the caller says so
  }
  const ranges: [number, number][] = []
  for (let point = 1; point <= LAST; point++) {
    if (isSurrogate(point) || !test.test(String.fromCodePoint(point))) continue
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === point - 1) last[1] = point
    else ranges.push([point, point])
  }
  return ranges
}

function isSurrogate(point: number): boolean {
  return point >= 0xd800 && point <= 0xdfff
}

function sorted(ranges: readonly Range[]): readonly Range[] {
  const merged: [number, number][] = []
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = merged.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else merged.push([Math.max(1, first), last])
  }
  return merged
}

function complement(ranges: readonly Range[]): readonly Range[] {
  const result: Range[] = []
  let from = 1
  for (const [first, last] of sorted(ranges)) {
    if (first > from) result.push([from, first - 1])
    from = last + 1
  }
  if (from <= LAST) result.push([from, LAST])
  return result
}

/** With every character also its forms in the other case, one letter for one letter. */
function folded(ranges: readonly Range[]): readonly Range[] {
  const more: Range[] = [...ranges]
  for (const [first, last] of sorted(ranges)) {
    for (let point = first; point <= Math.min(last, 0x1ffff); point++) {
      if (isSurrogate(point)) continue
      const character = String.fromCodePoint(point)
      for (const other of variants(character)) if ([...other].length === 1) more.push(single(other))
    }
  }
  return more
}

function variants(character: string): readonly string[] {
  const upper = character.toUpperCase()
  const lower = character.toLowerCase()
  return [upper, lower, upper.toLowerCase(), lower.toUpperCase(), ...(orbits[lower] ?? [])]
}

/** Letters that more than two forms belong to, and that upper and lower case do not lead to. */
const orbits: Readonly<Record<string, readonly string[]>> = {
  k: ['\u212a'],
  s: ['\u017f'],
  å: ['\u212b'],
  ß: ['\u1e9e'],
}

/** A set in brackets; ranges leave out the surrogates, which no text has. */
function setText(ranges: readonly Range[]): string {
  const parts = sorted(ranges).flatMap(([first, last]): readonly Range[] => {
    if (last < 0xd800 || first > 0xdfff) return [[first, last]]
    const around: Range[] = [
      [first, 0xd7ff],
      [0xe000, last],
    ]
    return around.filter(([a, b]) => a <= b)
  })
  const [only] = parts
  if (only === undefined) return '[^\\u0001-\\U0010ffff]' // matches nothing
  if (parts.length === 1 && only[0] === only[1]) return pointText(only[0])
  return `[${parts.map(([a, b]) => (a === b ? pointText(a) : `${pointText(a)}-${pointText(b)}`)).join('')}]`
}

function pointText(point: number): string {
  const character = String.fromCodePoint(point)
  if (/[A-Za-z0-9]/.test(character)) return character
  return point <= 0xffff ? `\\u${point.toString(16).padStart(4, '0')}` : `\\U${point.toString(16).padStart(8, '0')}`
}
