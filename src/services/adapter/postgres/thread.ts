// oxlint-disable-next-line no-restricted-imports -- a thread has its port and its orders from nowhere else
import { parentPort, workerData } from 'node:worker_threads'
import { realEnv } from '../../../core/env.ts'
import { messageOf, systemCodeOf } from '../../../core/errors.ts'
import { sql } from '../../../core/sql.ts'
import { bufferPool } from '../../../core/buffer-pool.ts'
import type { SourceBatch } from '../contract.ts'
import { Connection } from './connection.ts'
import { CopyStream } from './copy-stream.ts'
import { buffersOf } from '../../../core/batch.ts'
import { type CopyJob, type FromThread, type ThreadStart, type ToThread } from './thread-messages.ts'

/** The reading thread: one connection in the exported view, one COPY at a time, batches handed to the main thread. */
const { target, snapshot } = workerData as ThreadStart
const env = realEnv()
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
    running = new CopyStream(open, target, job, { give, pool })
    await running.run(open)
    post({ kind: 'done' })
  } catch (error) {
    post({ kind: 'failed', message: messageOf(error), code: systemCodeOf(error) })
  }
}

async function openInSnapshot(): Promise<Connection> {
  const opened = await Connection.open(env, target)
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
