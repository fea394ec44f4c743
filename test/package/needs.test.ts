import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const src = path.join(root, 'src')

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>
}
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest

/** Folders with a description: `services/<service>/<kind>/index.ts`. */
const implementations = readdirSync(path.join(src, 'services'), { recursive: true, encoding: 'utf8' })
  .filter(file => /^\w+\/[\w-]+\/index\.ts$/.test(file))
  .map(file => path.join('services', path.dirname(file)))
  .sort()

function textsIn(folder: string): readonly string[] {
  return readdirSync(path.join(src, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !/\.test\./.test(file))
    .map(file => readFileSync(path.join(src, folder, file), 'utf8'))
}

/** Packages that a text loads when it runs: an import of types alone loads nothing. */
function packagesLoadedBy(text: string): readonly string[] {
  const imports = [...text.matchAll(/^(?:import|export) (?!type\b)[^'"]*?from '([^'.][^']*)'/gm)]
  const sideEffects = [...text.matchAll(/^import '([^'.][^']*)'/gm)]
  const dynamic = [...text.matchAll(/(?<!typeof )\bimport\('([^'.][^']*)'\)/g)]
  const drivers = [...text.matchAll(/\bloadDriver(?:<[^(]*>)?\(\s*'([^']+)'/g)]
  const required = [...text.matchAll(/\bcreateRequire\(import\.meta\.url\)\('([^'.][^']*)'\)/g)]
  return [...imports, ...sideEffects, ...dynamic, ...drivers, ...required]
    .map(match => match[1] as string)
    .filter(name => !name.startsWith('node:'))
}

/** Folders whose code runs for an implementation: its own, and those of its system. */
function foldersOf(implementation: string): readonly string[] {
  const systems = textsIn(implementation).flatMap(text => [...text.matchAll(/'(?:\.\.\/)+systems\/([\w-]+)\//g)])
  return [implementation, ...new Set(systems.map(match => path.join('systems', match[1] as string)))]
}

async function needsOf(implementation: string): Promise<Readonly<Record<string, string>>> {
  const module = (await import(pathToFileURL(path.join(src, implementation, 'index.ts')).href)) as object
  const found = Object.values(module).find(value => typeof value === 'object' && value !== null && 'needs' in value)
  // A service that needs no package may have no description: it must then load none.
  return ((found as { needs?: object } | undefined)?.needs ?? {}) as Readonly<Record<string, string>>
}

describe('declared needs', () => {
  test('the scan sees every way to load a package, and no type', () => {
    const text = [
      `import a, {\n  b,\n} from 'static'`,
      `import 'side-effect'`,
      `import type { C } from 'types-only'`,
      `import './own.ts'`,
      `import fs from 'node:fs'`,
      `const d = await import('dynamic')`,
      `let e: typeof import('types-only')`,
      `loadDriver<{ readonly default: Driver }>('driver', {`,
      `const f = createRequire(import.meta.url)('required')`,
    ].join('\n')
    expect(packagesLoadedBy(text)).toEqual(['static', 'side-effect', 'dynamic', 'driver', 'required'])
  })

  test.each(implementations)('%s declares exactly the packages that it loads', async implementation => {
    const loaded = foldersOf(implementation).flatMap(folder => textsIn(folder).flatMap(packagesLoadedBy))
    expect([...new Set(loaded)].sort()).toEqual(Object.keys(await needsOf(implementation)).sort())
  })

  test('each is a dependency, or an optional peer with the same range', async () => {
    const needs = Object.assign({}, ...(await Promise.all(implementations.map(needsOf)))) as Record<string, string>
    const { dependencies, peerDependencies, peerDependenciesMeta } = manifest
    const peers = Object.entries(needs).filter(([name]) => !Object.hasOwn(dependencies, name))
    expect(peerDependencies).toEqual(Object.fromEntries(peers))
    expect(peerDependenciesMeta).toEqual(Object.fromEntries(peers.map(([name]) => [name, { optional: true }])))
    const own = Object.entries(needs).filter(([name]) => Object.hasOwn(dependencies, name))
    expect(dependencies).toMatchObject(Object.fromEntries(own))
  })

  test('no dependency is there for nothing', () => {
    const loaded = new Set(textsIn('.').flatMap(packagesLoadedBy))
    expect(Object.keys(manifest.dependencies).filter(name => !loaded.has(name))).toEqual([])
  })
})
