import type { Dialect, Sql } from '../../../core/sql.ts'
import type { ColumnType } from '../../../core/types.ts'
import { genericSystem } from './facts-generic.ts'
import { mariadbSystem } from './facts-mariadb.ts'
import { postgresSystem } from './facts-postgres.ts'
import { sqliteSystem } from './facts-sqlite.ts'
import type { DriverInfo } from './handles.ts'
import type { Via } from './messages.ts'
import type { TotalsSql } from './totals.ts'
import type { WriteFacts } from './write-facts.ts'

/** A column as far as SQL about it needs to know it. */
export interface FactColumn {
  readonly name: string
  readonly type: ColumnType
  readonly nativeType: string
  readonly nullable: boolean
}

/**
 * What is known of a system behind ODBC beyond what its driver tells. Everything that differs between systems is here,
 * so that nothing else asks for names; a system that is not known gets the facts that every driver must keep.
 */
export interface SystemFacts {
  /** True for a name that `SQL_DBMS_NAME` gives for it. */
  readonly isOf: (dbms: string) => boolean
  /** Isolation levels that give one moment and hold no writer up; `null` is the best that the driver offers. */
  readonly isolations: number | null
  /** Statements that make a session exact: zone, spelling of values, quoting. */
  readonly session: readonly string[]
  /** Statements that begin a view, when the first read does not. */
  readonly begin: readonly string[]
  /** One value: the clock in microseconds since 1970. `null`: it is ours. */
  readonly clockMicros: string | null
  /** A transaction of these isolations is one moment. */
  readonly hasSnapshot: boolean
  /** One value: the schema of the names that stand without one. */
  readonly defaultSchema: string | null
  /** Types as the system itself declares them: rows of schema, table, column, type, and YES where NULL may be. */
  readonly declaredTypes: ((schema: string | null, table: string | null) => Sql) | null
  /** The column type of a declared type. */
  readonly typeOf: (nativeType: string) => ColumnType
  /** The column as it is selected, so that its value arrives whole. */
  readonly select: (column: FactColumn, value: Sql) => { readonly sql: Sql; readonly via: Via }
  /** What a key column is ordered and compared by. */
  readonly ordered: (column: FactColumn, value: Sql) => Sql
  /** A text as it is compared by its bytes, whatever its collation; `null` when the system is not known well enough. */
  readonly byBytes: ((value: Sql) => Sql) | null
  /** A value of the key as text that `keyValue` takes back. */
  readonly keyText: (column: FactColumn, value: Sql) => Sql
  readonly keyValue: (column: FactColumn, text: string) => Sql
  /** `value >= moment`, or a little more where the column has no zone; `null` when its times cannot be compared. */
  readonly since: (column: FactColumn, value: Sql, micros: bigint) => Sql | null
  /** The row at `skip` of an ordered query, in SQL; `null`: rows before it are passed over one by one. */
  readonly nth: ((skip: number) => Sql) | null
  readonly literal: Dialect['literal']
  /** SQL of control totals; `null` when the system cannot compute them exactly. */
  readonly totals: TotalsSql | null
  /** How it is written; `null` when nobody knows. */
  readonly writes: WriteFacts | null
  /** How the columns of a query are told; `null` when only its driver could, which invents sizes. */
  readonly queries: QueryFacts | null
}

/** The columns of a query, as those of a temporary object of the session that is made of it and dropped at once. */
export interface QueryFacts {
  readonly make: (query: Sql) => readonly Sql[]
  /** Rows of name and type, in the order of the columns. */
  readonly columns: Sql
  readonly drop: Sql
}

/** What is known of a driver. */
export interface DriverFacts {
  /** True for a name that `SQL_DRIVER_NAME` gives for it. */
  readonly isOf: (driver: string) => boolean
  /** Keywords for the connection string: rows come as they are read, and types are not disguised. */
  readonly keywords: string
  /** Text comes as UTF-8 bytes when it is asked for as bytes of characters. */
  readonly textIsUtf8: boolean
  /** It takes and gives characters of one byte only, which are UTF-8; the manager would convert by the locale. */
  readonly isNarrow: boolean
  /** It claims to give long values out of a block and gives zeros: such a table is read row by row. */
  readonly longInBlocksFails: boolean
}

const drivers: readonly DriverFacts[] = [
  {
    isOf: driver => /^psqlodbc/i.test(driver),
    // Without a cursor the driver holds a whole result in memory; as characters a boolean is five of them.
    keywords:
      'UseDeclareFetch=1;Fetch=4096;BoolsAsChar=0;TrueIsMinus1=0;MaxVarcharSize=1024;ByteaAsLongVarBinary=1;Protocol=7.4-1',
    textIsUtf8: false,
    isNarrow: false,
    longInBlocksFails: false,
  },
  {
    isOf: driver => /^libmaodbc/i.test(driver),
    // FORWARDONLY (2097152) and NO_CACHE (1048576): rows are streamed.
    keywords: 'OPTION=3145728;CHARSET=utf8mb4',
    textIsUtf8: true,
    isNarrow: false,
    longInBlocksFails: true,
  },
  {
    isOf: driver => /^(lib)?sqlite3?odbc/i.test(driver),
    keywords: 'StepAPI=1;NoTXN=0;Timeout=10000;BigInt=1;LongNames=0',
    textIsUtf8: true,
    isNarrow: true,
    longInBlocksFails: false,
  },
]

const unknownDriver: DriverFacts = {
  isOf: () => true,
  keywords: '',
  textIsUtf8: false,
  isNarrow: false,
  longInBlocksFails: false,
}

const systems: readonly SystemFacts[] = [postgresSystem, mariadbSystem, sqliteSystem, genericSystem]

/** What is known of the driver that calls itself so. */
export function driverFacts(name: string): DriverFacts {
  return drivers.find(it => it.isOf(name)) ?? unknownDriver
}

/** What is known of the system that calls itself so. */
export function systemFacts({ dbms }: Pick<DriverInfo, 'dbms'>): SystemFacts {
  return systems.find(it => it.isOf(dbms)) ?? genericSystem
}
