// oxlint-disable-next-line no-restricted-imports -- a thread has its port and its orders from nowhere else
import { parentPort, workerData } from 'node:worker_threads'
import { realEnv } from '../../../core/env.ts'
import { messageOf, systemCodeOf } from '../../../core/errors.ts'
import { rawSql, sql } from '../../../core/sql.ts'
import { bufferPool } from '../../../core/buffer-pool.ts'
import type { SourceBatch } from '../contract.ts'
import { Connection, LOCK_MS_MAX } from './connection.ts'
import { CopyStream } from './copy-stream.ts'
import { buffersOf } from '../../../core/batch.ts'
import { type CopyJob, type FromThread, type ThreadStart, type ToThread } from './thread-messages.ts'

/** The reading thread: one connection in the exported view, one COPY at a time, batches handed to the main thread. */
const { target, snapshot } = workerData as ThreadStart
const env = realEnv()
/**
 * The view holds the table already, over another connection. Who stands before us in the line for its lock (TRUNCATE, a change of
 * its shape) waits for that view, and everybody who uses the table waits for him: we give way. Another table of a query may be locked for longer.
 */
const QUEUED_MS = 1_000
const pool = bufferPool()
let connection: Promise<Connection> | null = null
let running: CopyStream | null = null

parentPort?.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'copy':
      void copy(message.job)
      break
    case 'credit':
      pool.give(message.buffers)
      running?.credit()
      break
    case 'close':
      void close()
      break
  }
})

async function copy(job: CopyJob): Promise<void> {
  try {
    connection ??= openInSnapshot()
    const open = await connection
    if (job.hasOwnSql) await open.useOwnNames()
    await open.query(sql`set local lock_timeout = ${rawSql(String(job.hasOwnSql ? LOCK_MS_MAX : QUEUED_MS))}`)
    running = new CopyStream(open, target, job, { give, pool })
    await running.run(open)
    post({ kind: 'done' })
  } catch (error) {
    post({ kind: 'failed', message: messageOf(error), code: systemCodeOf(error) })
  }
}

async function openInSnapshot(): Promise<Connection> {
  const opened = await Connection.open(env, target, 'read')
  await opened.query(sql`begin isolation level repeatable read read only`)
  await opened.query(sql`set transaction snapshot ${snapshot}`)
  // A large table may take longer than one statement may; the silence of the socket is watched instead.
  await opened.query(sql`set local statement_timeout = 0`)
  return opened
}

async function close(): Promise<void> {
  try {
    await (await connection)?.close()
  } catch {
    // it never opened, and the read has reported why
  }
  parentPort?.close()
}

function give(batch: SourceBatch): void {
  post({ kind: 'batch', batch }, buffersOf(batch.batch))
}

function post(message: FromThread, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}
