import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { cellText } from '../../../core/cell-text.ts'
import { fixedWidth } from '../../../core/batch.ts'
import { realEnv } from '../../../core/env.ts'
import { ident, sql } from '../../../core/sql.ts'
import { Secret } from '../../../core/secret.ts'
import type { ColumnType } from '../../../core/types.ts'
import { readOptions } from '../../../core/implementation.ts'
import { ColumnBuffer, layoutOf } from './column-buffer.ts'
import { C } from './constants.ts'
import { renderFor } from './dialect.ts'
import { OdbcFailure, sourceError } from './errors.ts'
import { driverFacts, systemFacts } from './facts.ts'
import { genericSystem, reflectedType } from './facts-generic.ts'
import { odbc } from './index.ts'
import { loadLibrary, ManagerMissing } from './library.ts'
import type { Failure } from './messages.ts'
import { parserOf } from './parse.ts'
import { targetOf, withoutSecrets } from './target.ts'

const target = (connection: string) =>
  targetOf({
    source: 'legacy',
    options: readOptions(odbc.options, { dsn: { kind: 'secret', from: 'env', name: 'ERP_DSN' } }, 'source "legacy"'),
    secret: () => new Secret(connection),
    configDir: '.',
    stateDir: '.',
    env: realEnv(),
  })

/** What a text becomes as a value of the type, `null` when it is none. */
function parsed(type: ColumnType, text: string): string | null {
  const width = fixedWidth(type) as 1 | 2 | 4 | 8 | 16
  const data = new Uint8Array(width)
  const fits = parserOf(type)?.(text, new DataView(data.buffer), 0)
  return fits === true ? cellText(type, { layout: 'fixed', width, validity: null, data }, 0) : null
}

describe('values that come as text', () => {
  const decimal = (precision: number, scale: number): ColumnType => ({ kind: 'decimal', precision, scale })
  test.each<[ColumnType, string, string | null]>([
    [{ kind: 'int', bits: 16 }, '32767', '32767'],
    [{ kind: 'int', bits: 16 }, '32768', null],
    [{ kind: 'int', bits: 64 }, '-9223372036854775808', '-9223372036854775808'],
    [{ kind: 'int', bits: 64 }, '9223372036854775808', null],
    [{ kind: 'int', bits: 64 }, '1.0', null],
    [decimal(4, 2), '-0.05', '-0.05'],
    [decimal(4, 2), '.5', '0.50'],
    [decimal(4, 2), '1.500', '1.50'],
    [decimal(4, 2), '1.501', null],
    [decimal(4, 2), '100', null],
    [decimal(38, 0), '9'.repeat(38), '9'.repeat(38)],
    [decimal(38, 0), '1'.padEnd(39, '0'), null],
    [decimal(4, 2), '', null],
    [decimal(4, 2), 'NaN', null],
    [{ kind: 'float', bits: 64 }, '1e400', null],
    [{ kind: 'float', bits: 64 }, '-Infinity', '-Infinity'],
    [{ kind: 'date' }, '2023-02-29', null],
    [{ kind: 'date' }, '0000-00-00', null],
    [{ kind: 'date' }, '0044-03-15 BC', '0044-03-15 BC'],
    [{ kind: 'time' }, '24:00:00', '24:00:00'],
    [{ kind: 'time' }, '24:00:01', null],
    [{ kind: 'time' }, '00:00:00.0000001', null],
    [{ kind: 'timestamp', zoned: false }, '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789'],
    [{ kind: 'timestamp', zoned: false }, '2024-02-29 12:34:56+09', null],
    [{ kind: 'timestamp', zoned: true }, '2024-02-29 00:00:00+09', '2024-02-28 15:00:00+00'],
    [{ kind: 'timestamp', zoned: true }, 'infinity', 'infinity'],
    [{ kind: 'bool' }, 'true', 'true'],
    [{ kind: 'bool' }, '2', null],
    [{ kind: 'uuid' }, '01234567-89AB-cdef-0123-456789abcdef', '01234567-89ab-cdef-0123-456789abcdef'],
    [{ kind: 'uuid' }, '01234567', null],
  ])('%o of %j is %j', (type, text, expected) => {
    expect(parsed(type, text)).toBe(expected)
  })

  test('every timestamp that a batch holds is read back from its text', () => {
    const type: ColumnType = { kind: 'timestamp', zoned: true }
    fc.assert(
      fc.property(fc.bigInt(-210_866_803_200_000_000n, 9_223_371_331_199_999_999n), micros => {
        const data = new Uint8Array(new BigInt64Array([micros]).buffer)
        const text = cellText(type, { layout: 'fixed', width: 8, validity: null, data }, 0) as string
        expect(parsed(type, text)).toBe(text)
      }),
    )
  })
})

describe('text in 16-bit characters', () => {
  const layout = layoutOf({ name: 'a', type: { kind: 'text' }, via: 'native' }, 100)
  const taken = (source: Buffer): Buffer | null => {
    const out = new ColumnBuffer({ kind: 'text' }, 1)
    return layout.take(out, source, 0, source.length) ? Buffer.from(out.bytes.subarray(0, out.used)) : null
  }
  test('any text becomes its UTF-8', () => {
    expect(layout.cType).toBe(C.WCHAR)
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        const expected = text.includes('\0') || !text.isWellFormed() ? null : Buffer.from(text)
        expect(taken(Buffer.from(text, 'utf16le'))).toEqual(expected)
      }),
    )
  })
  test.each([
    ['half a pair at the end', 'a\ud83d'],
    ['the second half alone', '\ude00a'],
    ['a NUL', 'a\0b'],
  ])('%s is no text', (_, text) => {
    expect(taken(Buffer.from(text, 'utf16le'))).toBeNull()
  })
})

describe('the connection string', () => {
  test('its secrets are in no address and in no message', () => {
    const it = target('Driver={My Driver};Server=db;UID=me;PWD={pa;ss}}word};Token=abcdefghij;Database=erp')
    expect(it.address).toBe('Driver=My Driver;Server=db;Database=erp')
    expect(it.user).toBe('me')
    const message = withoutSecrets(it, `no login with pa;ss}word or abcdefghij: ${it.connection}`)
    for (const secret of ['pa;ss', 'abcdefghij', 'PWD=']) expect(message).not.toContain(secret)
  })
  test('a bare name is a data source', () => {
    expect(target('erp').connection).toBe('DSN=erp')
  })
})

describe('errors', () => {
  const failure = (given: Partial<Failure>): OdbcFailure =>
    new OdbcFailure({ reason: 'driver', state: 'HY000', message: 'no such PWD=hunter2', ...given })
  const at = target('Driver=X;UID=me;PWD=hunter2')
  test.each<[Partial<Failure>, string | null, string]>([
    [{ reason: 'manager-missing' }, null, 'ODBC_MANAGER_MISSING'],
    [{ reason: 'package-missing' }, null, 'DRIVER_MISSING'],
    [{ state: 'IM002' }, null, 'ODBC_DRIVER_MISSING'],
    [
      { state: '01000', message: "[unixODBC][Driver Manager]Can't open lib 'x.so' : file not found" },
      null,
      'ODBC_DRIVER_MISSING',
    ],
    [{ state: '28000' }, null, 'SOURCE_LOGIN'],
    [{ state: '08001', message: 'password authentication failed' }, null, 'SOURCE_LOGIN'],
    [{ state: '08001' }, null, 'SOURCE_UNREACHABLE'],
    [{ state: '08S01' }, 'orders', 'SOURCE_UNREACHABLE'],
    [{ state: 'HYT00' }, 'orders', 'SOURCE_UNREACHABLE'],
    [{ state: 'HYT01' }, 'orders', 'SOURCE_UNREACHABLE'],
    [{ state: '42501' }, 'orders', 'SOURCE_DENIED'],
    [{ state: '42S02' }, 'orders', 'SOURCE_TABLE_GONE'],
    [{ state: 'HY000' }, 'orders', 'SOURCE_READ'],
    [{ reason: 'cancelled' }, 'orders', 'CANCELLED'],
  ])('%o about %j is %s, without the password', (given, object, code) => {
    const error = sourceError(failure(given), at, object)
    expect(error.code).toBe(code)
    expect(`${error.message} ${error.fix} ${String(error.cause)}`).not.toContain('hunter2')
  })
  test('a machine without a driver manager is told how to get one', async () => {
    await expect(loadLibrary(process.cwd(), 'plan9')).rejects.toThrow(ManagerMissing)
    const { fix } = sourceError(failure({ reason: 'manager-missing' }), at, null)
    for (const words of ['apt-get install unixodbc', 'dnf install unixODBC', 'brew install unixodbc'])
      expect(fix).toContain(words)
  })
})

describe('a system that is not known', () => {
  test('gets its texts as parameters, so that no letter of a value is read as SQL', () => {
    const statement = sql`select * from ${ident('a"b')} where x > ${"it's \\"} and n > ${5n} and y = ${'z'}`
    expect(renderFor(statement, genericSystem, '"')).toEqual({
      text: 'select * from "a""b" where x > ? and n > 5 and y = ?',
      values: ["it's \\", 'z'],
    })
  })
  test('takes plain names only when its driver quotes none', () => {
    expect(renderFor(sql`select ${ident('abc')}`, genericSystem, '').text).toBe('select abc')
    expect(() => renderFor(sql`select ${ident('a b')}`, genericSystem, '')).toThrow('quotes no names')
  })
  test('is whoever no facts are for, and its types are those that the driver reflects', () => {
    expect(systemFacts({ dbms: 'Adaptive Server' })).toBe(genericSystem)
    expect(driverFacts('libtdsodbc.so').keywords).toBe('')
    expect(reflectedType(3, 12, 2)).toEqual({ kind: 'decimal', precision: 12, scale: 2 })
    expect(reflectedType(3, 50, 2)).toEqual({ kind: 'text' })
    expect(reflectedType(-999, 0, 0)).toEqual({ kind: 'text' })
    expect(reflectedType(-5, 20, 0, true)).toEqual({ kind: 'decimal', precision: 20, scale: 0 })
  })
})
