/**
 * What a naru.config.ts is written with. Importing it loads no driver and no engine; evaluating a config opens nothing.
 */
import { entity } from './config/entity.ts'
import { exportEntity } from './config/export.ts'
import { calendar, dimension } from './config/dimension.ts'
import { fact } from './config/fact.ts'
import { summary } from './config/summary.ts'

export { t } from './config/column.ts'
export type { Column, DateText, Decimal, Timestamp, Timestamptz, TimeText } from './config/column.ts'
export { cassandra } from './config/cassandra.ts'
export { events } from './config/events.ts'
export { files } from './config/files.ts'
export { mysql } from './config/mysql.ts'
export { http } from './config/http.ts'
export { redis } from './config/redis.ts'
export { source } from './config/own-source.ts'
export { env, file, pg, sqlite } from './config/source.ts'
export { odbc } from './config/odbc.ts'
export { none } from './config/record.ts'
export { when } from './config/when.ts'
export { rule } from './config/rule.ts'
export { prefer } from './config/prefer.ts'
export { mask } from './config/mask.ts'
export { duckdb, postgres } from './config/engine.ts'
export { defineConfig } from './config/project.ts'
export type { RowOf } from './config/row-of.ts'

/** The operational data store: entities, and the exports that may leave it. */
export const ods = { entity, export: exportEntity } as const

/** The warehouse. */
export const dw = { calendar, dimension, fact, summary } as const
