/**
 * Published as `naru/testing`: real servers on loopback, the suite of every contract, tools for faults. Importing it
 * loads no driver, no engine and no server: each is loaded when it is opened or started.
 *
 * A suite is a list of promises with a name and a check; the caller's own test runner names and runs each, leaving out
 * those whose `when` refuses what the implementation has or claims:
 *
 *     for (const { name, when, check } of storagePromises)
 *       test(name, async () => when?.(storage) === false || check(storage))
 */
export { enginePromises } from '../services/engine/conformance.ts'
export type { EnginePromise } from '../services/engine/conformance-support.ts'
export { capturePromises, capturePromisesFor } from '../services/adapter/conformance-capture.ts'
export type { CapturePromise, CaptureSystem } from '../services/adapter/conformance-capture-support.ts'
export { filesPromises, type FilesPromise, type FilesSystem } from '../services/adapter/conformance-files.ts'
export {
  tablesPromises,
  tablesPromisesFor,
  type HardTable,
  type TablesPromise,
  type TablesSystem,
} from '../services/adapter/conformance-tables.ts'
export type { WritesPromise, WritesSystem } from '../services/adapter/conformance-goods.ts'
export { writesPromises } from '../services/adapter/conformance-writes.ts'
export { storagePromises, type StoragePromise } from '../services/storage/conformance.ts'
export { busPromises, type BusPromise, type BusSystem } from '../services/bus/conformance.ts'
export { crashingEnv, fixedClockEnv, recordingEnv } from './crash.ts'
export { openTestEngine, stageContext } from './engine.ts'
export { openForTest } from './open-adapter.ts'
export { rejectsWith } from './suite/rejects.ts'
export { scriptedCaptures } from './scripted/index.ts'
export { beginStory, continueStory, type StoryChange, type StoryLine } from './scripted/story.ts'
export { startFtp } from './servers/ftp.ts'
export { removePostgres, startPostgres, stopPostgres } from './servers/embedded-postgres.ts'
export { fingerprint } from './snapshot.ts'
