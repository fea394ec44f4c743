/** Numbers of the ODBC 3 headers, by their names there without `SQL_`. */
export const ODBC = {
  HANDLE_ENV: 1,
  HANDLE_DBC: 2,
  HANDLE_STMT: 3,
  SUCCESS: 0,
  SUCCESS_WITH_INFO: 1,
  NO_DATA: 100,
  NULL_DATA: -1,
  NO_TOTAL: -4,
  COMMIT: 0,
  ROLLBACK: 1,
} as const

/** Attributes of an environment, a connection and a statement. */
export const ATTR = {
  ODBC_VERSION: 200,
  AUTOCOMMIT: 102,
  LOGIN_TIMEOUT: 103,
  TXN_ISOLATION: 108,
  QUERY_TIMEOUT: 0,
  ROW_STATUS_PTR: 25,
  ROWS_FETCHED_PTR: 26,
  ROW_ARRAY_SIZE: 27,
} as const

/** What `SQLGetInfo` is asked. */
export const INFO = {
  DRIVER_NAME: 6,
  DATABASE_NAME: 16,
  DBMS_NAME: 17,
  DBMS_VER: 18,
  IDENTIFIER_QUOTE_CHAR: 29,
  TXN_CAPABLE: 46,
  TXN_ISOLATION_OPTION: 72,
  GETDATA_EXTENSIONS: 81,
  CATALOG_NAME: 10003,
} as const

/** Isolation levels, as bits of `TXN_ISOLATION_OPTION` and values of `TXN_ISOLATION`. */
export const TXN = { READ_COMMITTED: 2, REPEATABLE_READ: 4, SERIALIZABLE: 8 } as const

/** `SQLGetData` may be called for any row of a block, also for a column that is bound. */
export const GD = { BLOCK: 4, BOUND: 8 } as const

/** Types of the C side: how a value lies in our buffers. */
export const C = {
  CHAR: 1,
  WCHAR: -8,
  BINARY: -2,
  BIT: -7,
  SSHORT: -15,
  SLONG: -16,
  SBIGINT: -25,
  FLOAT: 7,
  DOUBLE: 8,
  DATE: 91,
  TIMESTAMP: 93,
} as const

/** Types of the SQL side, as the catalog and a result name them. */
export const SQLT = {
  CHAR: 1,
  NUMERIC: 2,
  DECIMAL: 3,
  INTEGER: 4,
  SMALLINT: 5,
  FLOAT: 6,
  REAL: 7,
  DOUBLE: 8,
  DATE: 91,
  TIME: 92,
  TIMESTAMP: 93,
  VARCHAR: 12,
  LONGVARCHAR: -1,
  BINARY: -2,
  VARBINARY: -3,
  LONGVARBINARY: -4,
  BIGINT: -5,
  TINYINT: -6,
  BIT: -7,
  WCHAR: -8,
  WVARCHAR: -9,
  WLONGVARCHAR: -10,
  GUID: -11,
} as const
