/**
 * Published as `naru/changes`: for applications that take the changes of a source as they come, each from a place of its own.
 * Importing it loads no driver. See docs/guide/subscribe.md.
 */
export { openChanges } from './app/subscribe/client.ts'
export type { Change, Changes, ChangeSet, ChangesOptions, LogMessage, Transaction } from './app/subscribe/client.ts'
