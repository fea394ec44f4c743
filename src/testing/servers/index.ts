/** The servers that tests and the demo start, and the airline's data in them. */
export { dropPartnerFiles, loadOps, writeSafety } from './airline.ts'
export { startTraffic, type Traffic, type TrafficChange } from './airline-traffic.ts'
export { removePostgres, startPostgres, stopPostgres } from './embedded-postgres.ts'
export { startFtp } from './ftp.ts'
