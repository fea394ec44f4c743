import path from 'node:path'

/** One import: paths below `src`, so that a test can plant faults. */
export interface Import {
  readonly from: string
  readonly to: string
  /** Loaded when it is asked for, not with the importing file. */
  readonly dynamic?: boolean
}

/** Every import, re-export and worker entry in a source text, as it is written. */
export function specifiersIn(text: string): readonly { readonly to: string; readonly dynamic: boolean }[] {
  const pattern =
    /(?:^|\n)\s*(?:import|export)\b[^'"\n]*?(?:\{[^}]*\})?[^'"\n]*?from\s+'([^']+)'|(?:^|\n)import\s+'([^']+)'|import\('([^']+)'\)|new URL\('(\.[^']+\.ts)', import\.meta\.url\)/g
  return [...text.matchAll(pattern)].map(([, from, bare, dynamic, worker]) => ({
    to: (from ?? bare ?? dynamic ?? worker) as string,
    dynamic: dynamic !== undefined || worker !== undefined,
  }))
}

/** The file that a relative specifier means. */
export function targetOf(file: string, to: string): string {
  return path.posix.join(path.posix.dirname(file), to)
}

type Place =
  | 'core'
  | 'systems'
  | 'codecs'
  | 'contract'
  | 'conformance'
  | 'registry'
  | 'description'
  | 'implementation'
  | 'config'
  | 'plan'
  | 'run'
  | 'etl'
  | 'capture'
  | 'warehouse'
  | 'report'
  | 'app'
  | 'cli'
  | 'testing'
  | 'suite'
  | 'kit'

const joints = ['core', 'contract', 'config', 'plan', 'run'] as const

/** What each place may import besides itself. The order of the house: see docs/ARCHITECTURE.md. */
const may: Readonly<Record<Place, readonly Place[]>> = {
  core: [],
  systems: ['core', 'codecs'],
  codecs: ['core'],
  contract: ['core'],
  conformance: ['core', 'contract', 'suite'],
  suite: ['core'],
  registry: ['core', 'contract', 'description'],
  description: ['core', 'contract'],
  implementation: ['core', 'systems', 'codecs', 'contract', 'description'],
  config: ['core', 'contract', 'description', 'kit'],
  plan: ['core', 'contract', 'config'],
  run: ['core', 'contract', 'config', 'plan'],
  etl: joints,
  capture: joints,
  warehouse: joints,
  report: joints,
  app: [...joints, 'description', 'registry', 'etl', 'capture', 'warehouse', 'report'],
  cli: ['core', 'contract', 'config', 'plan', 'report', 'app'],
  kit: ['core', 'codecs', 'contract'],
  testing: [...joints, 'systems', 'codecs', 'suite', 'conformance', 'description', 'implementation'],
}

/** What is allowed against the rule, each with its reason. */
export const exceptions: readonly { readonly from: RegExp; readonly to: RegExp; readonly why: string }[] = [
  {
    from: /^services\/adapter\/files\//,
    to: /^services\/storage\/(registry|contract)\.ts$/,
    why: 'the adapter of files reads from any storage',
  },
  {
    from: /^app\//,
    to: /^services\/coordinator\/local\/open\.ts$/,
    why: 'the only coordinator: no option names another, and it has no driver',
  },
  {
    from: /^app\/demo\/sources\.ts$/,
    to: /^testing\/servers\/index\.ts$/,
    why: 'the demo runs on the servers of the tests',
  },
]

/**
 * Where a file stands; `null` when it stands nowhere. `index.ts` holds the user's words: it is the front of config, `outbox.ts` those of applications;
 * `changes.ts` is the front of app that applications open.
 * `adapter.ts` holds what adapters outside are written with; `testing/suite` what the suites of all contracts share.
 * `systems/wire` and `systems/cells` are of no one system: every system may decode with them.
 */
function placeOf(file: string): Place | null {
  if (file === 'index.ts' || file === 'outbox.ts') return 'config'
  if (file === 'changes.ts') return 'app'
  if (file === 'adapter.ts') return 'kit'
  if (file.startsWith('testing/suite/')) return 'suite'
  if (/^systems\/(wire|cells)\//.test(file)) return 'codecs'
  const [room, , third] = file.split('/')
  if (room !== 'services') return room !== undefined && Object.hasOwn(may, room) ? (room as Place) : null
  if (third === undefined) return null
  if (file.split('/').length > 3)
    return /^services\/\w+\/[\w-]+\/(index|place)\.ts$/.test(file) ? 'description' : 'implementation'
  if (third === 'registry.ts') return 'registry'
  return /^conformance[\w-]*\.ts$/.test(third) ? 'conformance' : 'contract'
}

/** The part of its place that a file belongs to: parts do not import each other. */
function partOf(file: string, place: Place): string {
  const parts = file.split('/')
  switch (place) {
    case 'etl':
    case 'systems':
    case 'codecs':
    case 'contract':
    case 'conformance':
    case 'registry':
      return parts.slice(0, 2).join('/')
    case 'description':
    case 'implementation':
      return parts.slice(0, 3).join('/')
    default:
      return place
  }
}

/** The imports that point the wrong way, as `file imports file`. */
export function violations(imports: readonly Import[]): readonly string[] {
  return imports.filter(it => !isAllowed(it)).map(({ from, to }) => `${from} imports ${to}`)
}

function isAllowed({ from, to, dynamic = false }: Import): boolean {
  const [here, there] = [placeOf(from), placeOf(to)]
  if (here === null || there === null) return false
  if (exceptions.some(it => it.from.test(from) && it.to.test(to))) return true
  const ownFolder = partOf(from, here) === partOf(to, there)
  // Data only: whoever reads what an implementation is must not load its driver.
  if (here === 'description' && there === 'implementation') return ownFolder && dynamic
  if (here === there) return ownFolder
  if (!may[here].includes(there)) return false
  if (here === 'implementation' && there === 'description') return ownFolder
  // Inside services everything belongs to one service.
  const withinServices = from.startsWith('services/') && to.startsWith('services/')
  return !withinServices || from.split('/')[1] === to.split('/')[1]
}
