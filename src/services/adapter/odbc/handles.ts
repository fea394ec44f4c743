import { ATTR, GD, INFO, ODBC, TXN } from './constants.ts'
import type { Call, Library, Pointer } from './library.ts'

/** What the driver or its manager says about a failed call: the SQLSTATE decides, the text is for people. */
export class DriverError extends Error {
  readonly state: string

  constructor(state: string, message: string) {
    super(message)
    this.state = state
  }
}

/** What a driver tells about itself and the system behind it. */
export interface DriverInfo {
  readonly driver: string
  readonly dbms: string
  readonly version: string
  /** The catalog of the connection; `null` when the system has none. */
  readonly catalog: string | null
  /** Character around identifiers; empty when the system quotes none. */
  readonly quote: string
  /** Bits of `TXN`. */
  readonly isolations: number
  readonly hasTransactions: boolean
  /** `SQLGetData` works for any row of a block. */
  readonly longInBlocks: boolean
}

/** One connection of the driver manager, its environment, and the checks around every call. */
export class Handles {
  readonly library: Library
  readonly dbc: bigint
  /** Texts pass as UTF-8 in characters of one byte, otherwise as UTF-16. */
  readonly isNarrow: boolean
  readonly #env: bigint
  #isConnected = false

  constructor(library: Library, isNarrow: boolean) {
    this.library = library
    this.isNarrow = isNarrow
    this.#env = this.#allocate(ODBC.HANDLE_ENV, null)
    this.check(library.SQLSetEnvAttr(this.#env, ATTR.ODBC_VERSION, 3n, 0), ODBC.HANDLE_ENV, this.#env)
    this.dbc = this.#allocate(ODBC.HANDLE_DBC, this.#env)
  }

  /** Logs in. `loginMs` is a limit that drivers may ignore. */
  async connect(connection: string, loginMs: number): Promise<void> {
    const seconds = BigInt(Math.ceil(loginMs / 1000))
    this.library.SQLSetConnectAttrW(this.dbc, ATTR.LOGIN_TIMEOUT, seconds, 0)
    const text = wide(connection)
    const characters = text.length / 2 - 1
    const result = await this.library.SQLDriverConnectW.later(this.dbc, null, text, characters, null, 0, null, 0)
    this.check(result, ODBC.HANDLE_DBC, this.dbc)
    this.#isConnected = true
  }

  info(): DriverInfo {
    return {
      driver: this.#infoText(INFO.DRIVER_NAME),
      dbms: this.#infoText(INFO.DBMS_NAME),
      version: this.#infoText(INFO.DBMS_VER),
      catalog: this.#infoText(INFO.CATALOG_NAME) === 'Y' ? this.#infoText(INFO.DATABASE_NAME) : null,
      quote: this.#infoText(INFO.IDENTIFIER_QUOTE_CHAR).trim(),
      isolations: this.#infoNumber(INFO.TXN_ISOLATION_OPTION),
      hasTransactions: (this.#infoNumber(INFO.TXN_CAPABLE) & 0xffff) !== 0,
      longInBlocks: (this.#infoNumber(INFO.GETDATA_EXTENSIONS) & (GD.BLOCK | GD.BOUND)) === (GD.BLOCK | GD.BOUND),
    }
  }

  /** Turns automatic commits off, and asks for the best isolation of `wanted` bits; gives the bit that is in force, 0 for the driver's own. */
  beginTransactions(wanted: number): number {
    this.setConnection(ATTR.AUTOCOMMIT, 0n)
    const level = [TXN.SERIALIZABLE, TXN.REPEATABLE_READ, TXN.READ_COMMITTED].find(bit => (wanted & bit) !== 0)
    if (level === undefined) return 0
    const result = this.library.SQLSetConnectAttrW(this.dbc, ATTR.TXN_ISOLATION, BigInt(level), 0)
    return result === ODBC.SUCCESS ? level : 0
  }

  /** Ends what was done since the last end; the next statement begins anew. */
  endTransaction(how: 'commit' | 'rollback'): void {
    const result = this.library.SQLEndTran(ODBC.HANDLE_DBC, this.dbc, how === 'commit' ? ODBC.COMMIT : ODBC.ROLLBACK)
    this.check(result, ODBC.HANDLE_DBC, this.dbc)
  }

  /** Rows that the statement inserted, updated or deleted; -1 where the driver does not say. */
  rowCount(statement: bigint): number {
    const out = Buffer.alloc(8)
    const result = this.library.SQLRowCount(statement, out)
    return result === ODBC.SUCCESS || result === ODBC.SUCCESS_WITH_INFO ? Number(out.readBigInt64LE()) : -1
  }

  setConnection(attribute: number, value: bigint): void {
    this.check(this.library.SQLSetConnectAttrW(this.dbc, attribute, value, 0), ODBC.HANDLE_DBC, this.dbc)
  }

  /** The variant of a function that takes texts as `text` makes them. */
  narrowOrWide(name: 'SQLExecDirect' | 'SQLTables' | 'SQLColumns' | 'SQLPrimaryKeys' | 'SQLStatistics'): Call {
    return this.library[this.isNarrow ? name : (`${name}W` as const)]
  }

  /** A text and its length, as `narrowOrWide` takes them. */
  text(value: string): readonly [Buffer, number] {
    if (this.isNarrow) return [Buffer.from(`${value}\0`), Buffer.byteLength(value)]
    return [wide(value), value.length]
  }

  /** A new statement; `free` it. */
  statement(timeoutMs: number): bigint {
    const statement = this.#allocate(ODBC.HANDLE_STMT, this.dbc)
    // Not every driver has a limit of its own: the parent watches as well.
    this.library.SQLSetStmtAttrW(statement, ATTR.QUERY_TIMEOUT, BigInt(Math.ceil(timeoutMs / 1000)), 0)
    return statement
  }

  free(statement: bigint): void {
    this.library.SQLFreeHandle(ODBC.HANDLE_STMT, statement)
  }

  close(): void {
    if (this.#isConnected) {
      this.library.SQLEndTran(ODBC.HANDLE_DBC, this.dbc, ODBC.ROLLBACK)
      this.library.SQLDisconnect(this.dbc)
    }
    this.library.SQLFreeHandle(ODBC.HANDLE_DBC, this.dbc)
    this.library.SQLFreeHandle(ODBC.HANDLE_ENV, this.#env)
  }

  /** True when rows were found; throws `DriverError` for a call that failed. */
  check(result: number, type: number, handle: bigint): boolean {
    if (result === ODBC.SUCCESS || result === ODBC.SUCCESS_WITH_INFO) return true
    if (result === ODBC.NO_DATA) return false
    throw this.#errorOf(type, handle, result)
  }

  checkStatement(result: number, statement: bigint): boolean {
    return this.check(result, ODBC.HANDLE_STMT, statement)
  }

  #errorOf(type: number, handle: bigint, result: number): DriverError {
    const [state, text] = [Buffer.alloc(12), Buffer.alloc(4096)]
    const length = Buffer.alloc(2)
    const found = this.library.SQLGetDiagRecW(type, handle, 1, state, Buffer.alloc(4), text, text.length / 2, length)
    if (found !== ODBC.SUCCESS && found !== ODBC.SUCCESS_WITH_INFO) {
      return new DriverError('HY000', `the driver failed with ${result} and says nothing`)
    }
    const characters = Math.min(length.readInt16LE(), text.length / 2 - 1)
    return new DriverError(state.toString('utf16le', 0, 10), text.toString('utf16le', 0, characters * 2).trim())
  }

  #allocate(type: number, parent: Pointer): bigint {
    const out = Buffer.alloc(8)
    const result = this.library.SQLAllocHandle(type, parent, out)
    if (result !== ODBC.SUCCESS && result !== ODBC.SUCCESS_WITH_INFO) {
      throw typeof parent === 'bigint'
        ? this.#errorOf(type - 1, parent, result)
        : new DriverError('HY001', 'the driver manager gives no handle')
    }
    return out.readBigUInt64LE()
  }

  #infoText(what: number): string {
    const [text, length] = [Buffer.alloc(1024), Buffer.alloc(2)]
    const result = this.library.SQLGetInfoW(this.dbc, what, text, text.length, length)
    if (result !== ODBC.SUCCESS && result !== ODBC.SUCCESS_WITH_INFO) return ''
    // Drivers disagree whether the length counts bytes or characters: the text ends at its NUL.
    const all = text.toString('utf16le')
    return all.slice(0, all.indexOf('\0'))
  }

  #infoNumber(what: number): number {
    const out = Buffer.alloc(8)
    const result = this.library.SQLGetInfoW(this.dbc, what, out, out.length, Buffer.alloc(2))
    return result === ODBC.SUCCESS ? out.readUInt32LE() : 0
  }
}

/** Text as the manager takes it: UTF-16 with a NUL behind it. */
export function wide(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf16le')
}
