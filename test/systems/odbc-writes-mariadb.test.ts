import { describe } from 'vitest'
import { behindMariadb } from '../servers/odbc-systems.ts'
import { odbcWrites } from '../servers/odbc-writes.ts'

describe('writes of MariaDB through ODBC', () => odbcWrites(behindMariadb, true))
