import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { commonFlags } from '../../src/cli/command.ts'
import { commands } from '../../src/cli/commands.ts'
import { blocksOf, pages, proseOf, root } from './pages.ts'

/** The name that a heading has in an address: as GitHub makes it. */
function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-')
}

function anchorsOf(page: string): readonly string[] {
  return [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(match => anchorOf(match[1] as string))
}

/** What is wrong with a link of a page; `null` when it leads somewhere. */
function faultOf(page: string, link: string): string | null {
  const [target = '', anchor] = link.split('#') as [string, string?]
  const file = target === '' ? page : path.join(path.dirname(page), decodeURI(target))
  if (file.startsWith('..')) return `${link} leaves the repository`
  if (!existsSync(path.join(root, file))) return `${link} leads nowhere`
  if (anchor === undefined || statSync(path.join(root, file)).isDirectory()) return null
  return anchorsOf(file).includes(decodeURIComponent(anchor)) ? null : `${link} names no heading`
}

function linksOf(page: string): readonly string[] {
  return [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(match => match[1] as string)
    .filter(link => !/^[a-z]+:/.test(link))
}

/** Each `naru word …` in code: the command with its flags. */
function callsOf(page: string): readonly { readonly name: string; readonly flags: readonly string[] }[] {
  const blocks = blocksOf(page).filter(block => block.language === '')
  const spans = [...proseOf(page).matchAll(/`([^`\n]+)`/g)].map(match => match[1] as string)
  return [...blocks.map(block => block.code), ...spans]
    .flatMap(text => text.split('\n'))
    .flatMap(line => [...line.matchAll(/(?:^|[ (])(?:npx )?naru ([a-z]+)([^|;&]*)/g)])
    .map(match => ({
      name: match[1] as string,
      flags: [...(match[2] as string).matchAll(/ --([a-z-]+)/g)].map(flag => flag[1] as string),
    }))
}

describe('the pages', () => {
  test('there are some', () => {
    expect(pages).toEqual(expect.arrayContaining(['README.md', 'README.ko.md', 'docs/ARCHITECTURE.md']))
  })

  test.each(pages)('every relative link of %s leads to a file and a heading', page => {
    expect(linksOf(page).flatMap(link => faultOf(page, link) ?? [])).toEqual([])
  })

  test.each(pages)('every command and flag that %s names exists', page => {
    const faults = callsOf(page).flatMap(({ name, flags }) => {
      const command = commands.find(it => it.name === name)
      if (command === undefined) return [`naru ${name}`]
      const known = [...command.flags, ...commonFlags].map(flag => flag.name)
      return flags.filter(flag => !['help', ...known].includes(flag)).map(flag => `naru ${name} --${flag}`)
    })
    expect(faults).toEqual([])
  })

  test.each(['README.md', 'README.ko.md'])('%s names every command', page => {
    const named = new Set(callsOf(page).map(call => call.name))
    expect(commands.map(command => command.name).filter(name => !named.has(name))).toEqual([])
  })
})
