import type koffi from 'koffi'
import { loadDriver } from '../../../core/implementation.ts'

/** A handle or a buffer, as the driver manager takes it. */
export type Pointer = bigint | Uint8Array | null

/** A function of the driver manager; `async` runs it beside the JavaScript thread. */
export interface Call {
  (...args: readonly (Pointer | number)[]): number
  later(...args: readonly (Pointer | number)[]): Promise<number>
}

/** What each function takes: h and p are pointers, s and S 16 bits with and without sign, i 32, l and L 64. */
const signatures = {
  SQLAllocHandle: 'shp',
  SQLFreeHandle: 'sh',
  SQLSetEnvAttr: 'hipi',
  SQLSetConnectAttrW: 'hipi',
  SQLGetInfoW: 'hSpsp',
  SQLDriverConnectW: 'hppspspS',
  SQLDisconnect: 'h',
  SQLExecDirect: 'hpi',
  SQLExecDirectW: 'hpi',
  SQLNumResultCols: 'hp',
  SQLDescribeColW: 'hSpsppppp',
  SQLSetStmtAttrW: 'hipi',
  SQLBindCol: 'hSsplp',
  SQLBindParameter: 'hSsssLsplp',
  SQLFetch: 'h',
  SQLGetData: 'hSsplp',
  SQLSetPos: 'hLSS',
  SQLEndTran: 'shs',
  SQLRowCount: 'hp',
  SQLCancel: 'h',
  SQLTables: 'hpspspsps',
  SQLColumns: 'hpspspsps',
  SQLPrimaryKeys: 'hpspsps',
  SQLStatistics: 'hpspspsSS',
  SQLTablesW: 'hpspspsps',
  SQLColumnsW: 'hpspspsps',
  SQLPrimaryKeysW: 'hpspsps',
  SQLStatisticsW: 'hpspspsSS',
  SQLGetDiagRecW: 'shspppsp',
} as const

/** The driver manager's functions, by their names. */
export type Library = { readonly [N in keyof typeof signatures]: Call }

const types: Readonly<Record<string, string>> = {
  h: 'void *',
  p: 'void *',
  s: 'int16',
  S: 'uint16',
  i: 'int32',
  l: 'int64',
  L: 'uint64',
}

/** The managers with 16-bit characters: unixODBC, and the one of Windows. iODBC has 32 bits and is not looked for. */
const managers: Readonly<Record<string, readonly string[]>> = {
  linux: ['libodbc.so.2', 'libodbc.so.1', 'libodbc.so'],
  darwin: ['/opt/homebrew/lib/libodbc.2.dylib', '/usr/local/lib/libodbc.2.dylib', 'libodbc.2.dylib'],
  win32: ['odbc32.dll'],
}

/** There is no driver manager on this machine. */
export class ManagerMissing extends Error {}

/** Loads the driver manager of this machine. Throws `DRIVER_MISSING` without koffi, `ManagerMissing` without a manager. */
export async function loadLibrary(configDir: string, platform: string): Promise<Library> {
  const { default: ffi } = await loadDriver<{ readonly default: typeof koffi }>('koffi', {
    service: 'adapter',
    kind: 'odbc',
    from: configDir,
    own: () => import('koffi'),
  })
  const manager = openManager(ffi, managers[platform] ?? [])
  const calls = Object.entries(signatures).map(([name, letters]) => {
    const call = manager.func(name, 'int16', letters.split('').map(letter => types[letter] as string)) // prettier-ignore
    const later = (...args: readonly unknown[]): Promise<number> =>
      new Promise((resolve, reject) => {
        call.async(...args, (error: Error | null, result: number) => (error === null ? resolve(result) : reject(error)))
      })
    return [name, Object.assign((...args: readonly unknown[]) => call(...args) as number, { later })]
  })
  return Object.fromEntries(calls) as Library
}

function openManager(ffi: typeof koffi, names: readonly string[]): ReturnType<typeof koffi.load> {
  const problems: string[] = []
  for (const name of names) {
    try {
      return ffi.load(name)
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error))
    }
  }
  throw new ManagerMissing(problems.join('; '))
}
