import { readFileSync, writeFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { compile, diagnosticsOf, type Diagnostic } from './compile.ts'

const file = 'test/config-types/mistakes.ts'
const golden = new URL('mistakes.golden.txt', import.meta.url)
const lines = readFileSync(new URL('mistakes.ts', import.meta.url), 'utf8').split('\n')

/** `// 7 what is wrong ⟨word⟩`, and the statement below it. */
const mistakes = lines.flatMap((line, i) => {
  const comment = /^\/\/ (\d+) (.*) ⟨(.*)⟩$/.exec(line)
  if (comment === null) return []
  const [, number, what, word] = comment as unknown as [string, string, string, string]
  const end = lines.findIndex((other, n) => n > i && /^(?:\/\/|const |$)/.test(other))
  return [{ number: Number(number), what, word, from: i + 2, to: end }]
})

function errorsOf(mistake: (typeof mistakes)[number], found: readonly Diagnostic[]): readonly Diagnostic[] {
  return found.filter(error => error.file === file && error.line >= mistake.from && error.line <= mistake.to)
}

describe('what must not compile', () => {
  let found: readonly Diagnostic[]
  beforeAll(() => {
    found = diagnosticsOf(compile('test/config-types'))
  })

  it('nothing else is refused: the valid config compiles without an annotation', () => {
    const expected = mistakes.flatMap(mistake => errorsOf(mistake, found))
    expect(found.filter(error => !expected.includes(error))).toEqual([])
  })

  it.each(mistakes)('$number: $what', mistake => {
    const errors = errorsOf(mistake, found)
    expect(errors).toHaveLength(1)
    const { line, column } = errors[0] as Diagnostic
    expect(lines[line - 1]?.slice(column - 1).slice(0, mistake.word.length)).toBe(mistake.word)
  })

  // Renew with GOLDEN=write after reading the difference.
  it('the messages are those of the golden file', () => {
    const text = mistakes.map(mistake => {
      const messages = errorsOf(mistake, found).map(error => `${error.line}:${error.column} ${error.text}`)
      return `${mistake.number} ${mistake.what}\n${messages.join('\n')}\n`
    })
    if (process.env['GOLDEN'] === 'write') writeFileSync(golden, text.join('\n'))
    expect(text.join('\n')).toBe(readFileSync(golden, 'utf8'))
  })
})
