import { describe } from 'vitest'
import { behindPostgres } from '../servers/odbc-systems.ts'
import { odbcWrites } from '../servers/odbc-writes.ts'

describe('writes of PostgreSQL through ODBC', () => odbcWrites(behindPostgres, true))
