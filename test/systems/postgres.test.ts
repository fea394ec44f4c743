import { checkPostgres } from '../servers/postgres-promises.ts'

checkPostgres('npm 13')
checkPostgres('npm 14')
checkPostgres('Debian 15')
