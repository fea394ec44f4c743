import { checkPostgres } from '../servers/postgres-promises.ts'

// Files run side by side: the older versions are in the other one.
checkPostgres('npm 15')
checkPostgres('npm 16')
checkPostgres('npm 17')
checkPostgres('npm 18')
