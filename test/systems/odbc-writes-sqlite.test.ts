import { describe } from 'vitest'
import { behindSqlite } from '../servers/odbc-systems.ts'
import { odbcWrites } from '../servers/odbc-writes.ts'

describe('writes of SQLite through ODBC', () => odbcWrites(behindSqlite, false))
