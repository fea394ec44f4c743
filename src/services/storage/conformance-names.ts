import assert from 'node:assert/strict'
import type { Storage } from './contract.ts'

/** A name that a hostile listing or a careless config could hold, and what must become of it. */
export interface HostileName {
  readonly name: string
  /** `refused`: no method takes it and listings give it as refused. `kept`: it is a file of exactly that name. */
  readonly verdict: 'refused' | 'kept'
  readonly why: string
}

const refused: readonly (readonly [why: string, ...names: string[]])[] = [
  ['it names the folder itself', '', '.', './a.csv', 'in/./a.csv'],
  ['it leads out', '..', '../a.csv', '../../etc/passwd', 'in/../../a.csv', 'in/..', 'in/../a.csv'],
  ['it is absolute', '/', '/etc/passwd', '//host/share/a.csv'],
  ['a part is empty', 'in//a.csv', 'in/', 'in///'],
  [
    'it is a path of Windows',
    '..\\a.csv',
    'in\\a.csv',
    '\\a.csv',
    '\\\\host\\share\\a.csv',
    'C:\\a.csv',
    'c:a.csv',
    'Z:',
  ],
  ['it is a device of Windows', 'CON', 'nul', 'aux.csv', 'COM1', 'lpt9.txt', 'in/PRN', 'con.tar.gz'],
  ['Windows drops its end, so that it is another name', 'a.csv.', 'a.csv ', '.. /a.csv', '...', 'in. /a.csv', ' '],
  ['it ends a command or a line', 'a\r\nDELE b.csv', 'a\nb.csv', 'a\rb.csv', 'a\u2028b.csv'],
  [
    'it holds control characters',
    'a\0.csv',
    'a.csv\0.txt',
    'a\u0007.csv',
    '\u001b[2Ja.csv',
    'a\u0085.csv',
    'a\u007f.csv',
  ],
  ['it shows as another name', 'a\u202evsc.exe', 'a\u2066b.csv'],
  ['it is no text', 'a\ud800.csv'],
  ['it is too long', 'x'.repeat(256), '한'.repeat(86), `${'d/'.repeat(600)}a.csv`, 'x'.repeat(2000)],
]

const kept: readonly (readonly [why: string, ...names: string[]])[] = [
  [
    'nobody decodes it',
    '%2e%2e%2fa.csv',
    '%2e%2e/a.csv',
    '..%2fa.csv',
    '%00.csv',
    'a%0d%0a.csv',
    '+a+b.csv',
    '&#46;.csv',
  ],
  ['these are letters that look like dots and slashes', '．．／a.csv', '\u2024\u2024\u2215a.csv', '..\uff0fa.csv'],
  ['no shell reads it', '$HOME.csv', '`id`.csv', '$(id).csv', ';rm -rf.csv', '|id.csv', "a'b.csv", '&a.csv', '!a.csv'],
  [
    'no server expands it',
    '~.csv',
    '~root.csv',
    '~/a.csv',
    '-rf',
    '--help',
    '#a.csv',
    'a?b.csv',
    'a*b.csv',
    '[ab].csv',
    '{a,b}.csv',
  ],
  ['it only looks like a device', 'CONSOLE.csv', 'com10.csv', 'nul_.csv'],
  ['it only looks like a way out', '..a.csv', 'a..csv', '.a.csv', '..in/a.csv'],
  ['time stamps have colons', 'T10:00:00.csv'],
  ['its letters are composed in one of two ways', 'é.csv', 'e\u0301.csv', '각.csv'],
  ['it is as long as a name may be', `${'x'.repeat(251)}.csv`],
]

/** Every promise about names: the suite runs it against each storage. */
export const hostileNames: readonly HostileName[] = [
  ...refused.flatMap(([why, ...names]) => names.map(name => ({ name, verdict: 'refused', why }) as const)),
  ...kept.flatMap(([why, ...names]) => names.map(name => ({ name, verdict: 'kept', why }) as const)),
]

/** Checks a listing of a folder into which somebody dropped `planted` by other means. */
export async function checkPlanted(
  storage: Storage,
  planted: readonly HostileName[],
  signal: AbortSignal,
): Promise<void> {
  const { files, refused } = await storage.list('', signal, () => true)
  const expected = planted.filter(it => it.verdict === 'kept').map(it => it.name)
  assert.deepEqual(files.map(file => file.key).sort(), expected.toSorted())
  // Shown without what a terminal would obey, so that only their number compares.
  assert.equal(refused.length, planted.length - expected.length)
  assert.ok(refused.every(name => !/\p{Cc}/u.test(name)))
}

/** Those of them that a folder of a Linux server can hold as the name of one file, so that its listing shows them. */
export const plantableNames: readonly HostileName[] = hostileNames.filter(
  ({ name }) =>
    !/^\.{0,2}$/.test(name) && !/[/\0]/.test(name) && !/\p{Cs}/u.test(name) && Buffer.byteLength(name) <= 255,
)

/** Those that also a listing of lines, as FTP has it, can hold. */
export const plantableInLines: readonly HostileName[] = plantableNames.filter(({ name }) => !/[\r\n]/.test(name))
