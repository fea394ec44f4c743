export { exportRows } from './export-rows.ts'
export { controlTables } from './mask-secrets.ts'
