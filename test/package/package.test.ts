import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(path.join(tmpdir(), 'naru-package-'))
const project = path.join(folder, 'my-project')
/** Where npm put the package that a user would have. */
const installed = path.join(folder, 'node_modules/naru')
let files: readonly string[] = []

function run(cwd: string, command: string, ...args: readonly string[]): string {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (done.status !== 0) {
    throw new Error(`${[command, ...args].join(' ')}: status ${done.status}\n${done.stdout}${done.stderr}`)
  }
  return done.stdout
}

const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']

beforeAll(() => {
  // What is built already is packed: building is the job of the set-up, and tests of other files use the same dist.
  const report = run(root, 'npm', 'pack', '--json', '--ignore-scripts', `--pack-destination=${folder}`)
  const [packed] = Object.values(JSON.parse(report) as Record<string, { filename: string; files: { path: string }[] }>)
  if (packed === undefined) throw new Error('npm pack gave nothing')
  files = packed.files.map(file => file.path)
  run(folder, 'npm', 'install', ...quiet, `./${packed.filename}`)
  run(folder, 'npx', 'naru', 'init', 'my-project')
  run(project, 'npm', 'install', '--prefer-offline', ...quiet)
}, 300_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the packed package', () => {
  const allowed = [
    /^(package\.json|LICENSE|README(\.ko)?\.md)$/,
    /^dist\/.+\.(js|js\.map|d\.ts)$/,
    /^docs\/.+\.(md|svg|png)$/,
    /^examples\/(airline|first-project)\/.+\.(ts|js|json|csv)$/,
  ]

  test('holds what was built, the pages and the examples, and nothing else', () => {
    expect(files.filter(file => !allowed.some(pattern => pattern.test(file)))).toEqual([])
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'dist/cli/main.js', 'docs/errors.md']))
    expect(files).toContain('examples/airline/naru.config.ts')
    expect(files).toContain('examples/first-project/naru.config.ts')
  })

  test('holds no test but that of the first project', () => {
    const tests = files.filter(file => /\.test\.|(^|\/)tests?\//.test(file))
    expect(tests).toEqual(['examples/first-project/test/project.test.js'])
  })

  test('holds no secret and no path of the machine that built it', () => {
    const suspicious = /-----BEGIN [A-Z ]*PRIVATE KEY|\/\/[^\s/:@'"`]+:_authToken|\bnpm_[A-Za-z0-9]{30,}/
    const told = files.filter(file => {
      const text = readFileSync(path.join(installed, file), 'utf8')
      return suspicious.test(text) || text.includes(root)
    })
    expect(told).toEqual([])
    expect(files.filter(file => /(^|\/)\.|\.(env|pem|key)$/.test(file))).toEqual([])
  })

  test('runs nothing when it is installed', () => {
    const { scripts } = manifest() as { scripts: Record<string, string> }
    const atInstall = ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare']
    expect(Object.keys(scripts).filter(name => atInstall.includes(name))).toEqual([])
  })

  test('every file that it exports is there, with its types', () => {
    const { exports, bin } = manifest() as { exports: Record<string, string>; bin: Record<string, string> }
    const targets = [...Object.values(exports), ...Object.values(bin)].map(file => path.normalize(file))
    const modules = Object.values(exports).filter(file => file.endsWith('.js'))
    const types = modules.map(file => path.normalize(file.replace(/\.js$/, '.d.ts')))
    expect([...targets, ...types].filter(file => !files.includes(file))).toEqual([])
  })

  function manifest(): unknown {
    return JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'))
  }
})

describe('a driver that is not installed', () => {
  const at = (scheme: string): string => `${scheme}://someone:hidden@127.0.0.1:1/x`
  test.each([
    ['pg', 'postgres', at('postgres')],
    ['mysql2', 'mysql', at('mysql')],
    ['cassandra-driver', 'cassandra', at('cassandra')],
    ['koffi', 'odbc', 'DSN=nothing'],
    ['node-sqlite3-wasm', 'sqlite', null],
    ['basic-ftp', 'files', at('ftp')],
    ['ssh2', 'files', at('sftp')],
    ['@aws-sdk/client-s3', 'files', 's3://bucket/in'],
  ])('%s is named by the command that needs it, with the command that installs it', (name, kind, address) => {
    writeFileSync(path.join(project, 'empty.db'), '')
    const place = address === null ? ['--path', 'empty.db'] : ['--url', 'SYSTEM']
    const { status, stderr } = spawnSync('npx', ['naru', 'pull', 'other', '--from', kind, ...place], {
      cwd: project,
      encoding: 'utf8',
      env: { ...process.env, SYSTEM: address ?? '' },
    })
    expect(stderr).toContain(`cannot load "${name}" for `)
    expect(stderr).toContain(`Install it: npm install ${name}\n`)
    expect(stderr).not.toContain('hidden')
    expect(status).toBe(2)
  })
})

describe('the first project, from the packed package', () => {
  test('runs at once and gives what its faults should give', () => {
    const { ok, staged, rejected, ods, exported, warehouse, corrections } = JSON.parse(
      run(project, 'npx', 'naru', 'run', '--json').trim().split('\n').at(-1) as string,
    ) as Record<string, unknown>
    expect({ ok, staged, rejected, ods, exported, warehouse, corrections }).toEqual({
      ok: true,
      staged: { shop_products: 4, shop_orders: 11 }, // of 12 lines, one has too few fields
      rejected: { shop_orders: 1, sale: 3 }, // a quantity of 0, one that is no number, an unknown product
      ods: { product: 4, sale: 8 },
      exported: { product: 4, sale: 8 },
      warehouse: { dim_product: 5, dim_date: 366, fact_sale: 8, sales_by_month: 6 }, // with the unknown member
      corrections: { sale: 3 },
    })
  })

  test('its own test passes', () => {
    expect(run(project, 'npm', 'test')).toMatch(/# fail 0\b/)
  })

  test('its config type-checks against the installed types', () => {
    expect(typeErrors()).toBe('')
  })

  test('its config does not type-check when the mask of personal data is missing', () => {
    const file = path.join(project, 'naru.config.ts')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace(', { mask: { email: mask.redact() } }', ''))
    expect(typeErrors()).toContain('NeedsMaskFor<"email">')
    writeFileSync(file, text)
  })

  test('it holds a dependency on the very package that made it', () => {
    const { dependencies } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    expect(dependencies['naru']).toMatch(/^file:.*\.tgz$/)
    expect(path.dirname(dependencies['naru']?.slice('file:'.length) ?? '')).toBe(folder)
  })

  function typeErrors(): string {
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
    return spawnSync(process.execPath, [tsc, '--noEmit', '--pretty', 'false'], { cwd: project, encoding: 'utf8' })
      .stdout
  }
})
