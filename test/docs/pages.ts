import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export const root = path.resolve(import.meta.dirname, '../..')

/** Every page that a reader of the repository may open, from the root of the clone. */
export const pages: readonly string[] = [
  ...markdownIn('.'),
  ...['docs', 'changelog.d', 'examples'].flatMap(folder => markdownIn(folder, true)),
].sort()

function markdownIn(folder: string, recursive = false): readonly string[] {
  return readdirSync(path.join(root, folder), { recursive, encoding: 'utf8' })
    .filter(name => name.endsWith('.md') && !name.includes('node_modules'))
    .map(name => path.join(folder, name))
}

/** Lines inside and outside of code blocks, with their numbers from 1 on. */
export interface Block {
  /** `ts`, `sql`, or empty. */
  readonly language: string
  /** Line of the first line of code. */
  readonly line: number
  readonly code: string
  /** The line above the block. */
  readonly above: string
}

export function textOf(page: string): string {
  return readFileSync(path.join(root, page), 'utf8')
}

/** The fenced blocks of a page. */
export function blocksOf(page: string): readonly Block[] {
  const lines = textOf(page).split('\n')
  const blocks: Block[] = []
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```(\w*)/.exec(lines[i] as string)
    if (fence === null) continue
    const end = lines.indexOf('```', i + 1)
    const code = lines.slice(i + 1, end).join('\n')
    blocks.push({ language: fence[1] as string, line: i + 2, code: `${code}\n`, above: lines[i - 1] ?? '' })
    i = end
  }
  return blocks
}

/** A page without its blocks. */
export function proseOf(page: string): string {
  return textOf(page).replaceAll(/^```[^]*?^```$/gm, '')
}
