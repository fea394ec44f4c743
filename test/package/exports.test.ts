import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'

const dist = path.resolve(import.meta.dirname, '../../dist')

/** A name that a declaration file exports, and where it is declared. */
interface Exported {
  readonly name: string
  readonly file: string
}

function read(file: string): string {
  return readFileSync(path.join(dist, file), 'utf8')
}

/** The names that `file` exports, each with the file that declares it. Renaming is not known here: nothing renames. */
function exportsOf(file: string): readonly Exported[] {
  const text = read(file)
  const passedOn = [...text.matchAll(/^(?:export|import)(?: type)? \{([^}]*)\} from '(\.[^']+)'/gm)].flatMap(match =>
    namesIn(match[1] as string).map(name => ({ name, file: declarationOf(file, match[2] as string) })),
  )
  const own = [...text.matchAll(/^export declare (?:const|function|class) (\w+)/gm)].map(match => ({
    name: match[1] as string,
    file,
  }))
  return [...passedOn, ...own]
}

function namesIn(list: string): readonly string[] {
  return list
    .split(',')
    .map(part => part.trim().replace(/^type /, ''))
    .filter(part => part !== '')
}

function declarationOf(file: string, to: string): string {
  return path.join(path.dirname(file), to.replace(/\.[jt]s$/, '.d.ts'))
}

/** True when a doc comment stands right before a declaration of the name. */
function isDocumented({ name, file }: Exported): boolean {
  const declaration = `export (?:declare )?(?:abstract )?(?:const|function|class|interface|type) ${name}\\b`
  return new RegExp(`\\*/\\s*${declaration}`).test(read(file))
}

describe('documented exports', () => {
  test.each(['index.d.ts', 'adapter.d.ts', 'testing/index.d.ts'])('every name of %s says what it is', entry => {
    const exported = exportsOf(entry)
    expect(exported.length).toBeGreaterThan(5)
    expect(exported.filter(it => !isDocumented(it))).toEqual([])
  })

  test('naru/testing publishes the suite of every contract that has one', () => {
    const published = exportsOf('testing/index.d.ts').map(it => it.name)
    expect(published).toEqual(
      expect.arrayContaining(['busPromises', 'enginePromises', 'filesPromises', 'storagePromises', 'tablesPromises']),
    )
  })

  test('a name without a comment would be seen', () => {
    expect(isDocumented({ name: 'columnDefs', file: 'config/column.d.ts' })).toBe(true)
    expect(isDocumented({ name: 'nothingSuch', file: 'config/column.d.ts' })).toBe(false)
  })
})
