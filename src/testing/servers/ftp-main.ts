import { writeFileSync } from 'node:fs'
import { startFtp } from './ftp.ts'

/**
 * An FTP server in a process of its own, for `naru demo --keep`. What it serves comes from the environment, so that
 * the password stands in no process list. Writes its process id to `NARU_FTP_PID_FILE` when it listens.
 */
const { NARU_FTP_ROOT, NARU_FTP_USER, NARU_FTP_PASSWORD, NARU_FTP_PORT, NARU_FTP_PID_FILE } = process.env
const server = await startFtp({
  root: NARU_FTP_ROOT ?? '.',
  user: NARU_FTP_USER ?? '',
  password: NARU_FTP_PASSWORD ?? '',
  port: Number(NARU_FTP_PORT),
})
if (NARU_FTP_PID_FILE !== undefined) writeFileSync(NARU_FTP_PID_FILE, String(process.pid))
process.once('SIGTERM', () => void server.stop())
