/**
 * Published as `naru/outbox`: for applications that tell their changes in an outbox, in the transactions that make them.
 * Importing it loads no driver. See docs/guide/outbox.md.
 */
export { outbox } from './config/outbox.ts'
export type { EventOptions, Outbox, OutboxDialect, OutboxStatement, OutboxTable } from './config/outbox.ts'
