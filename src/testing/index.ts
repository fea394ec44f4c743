/** Published as `naru/testing`: real servers on loopback, the suites that every implementation passes, tools for faults. */
export { crashingEnv, fixedClockEnv, recordingEnv } from './crash.ts'
export { openTestEngine, stageContext } from './engine.ts'
export { startFtp } from './servers/ftp.ts'
export { removePostgres, startPostgres, stopPostgres } from './servers/embedded-postgres.ts'
export { fingerprint } from './snapshot.ts'
