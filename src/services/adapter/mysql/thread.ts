// oxlint-disable-next-line no-restricted-imports -- a thread has its port and its orders from nowhere else
import { parentPort, workerData } from 'node:worker_threads'
import { bufferPool } from '../../../core/buffer-pool.ts'
import { realEnv } from '../../../core/env.ts'
import { messageOf, systemCodeOf } from '../../../core/errors.ts'
import { rawSql, sql } from '../../../core/sql.ts'
import type { SourceBatch } from '../contract.ts'
import { Connection } from './connection.ts'
import { clockMicros } from './horizon.ts'
import { RowStream, StatementRefused } from './row-stream.ts'
import { buffersOf } from '../../../core/batch.ts'
import { type FromThread, type ReadJob, type ThreadStart, type ToThread } from './thread-messages.ts'

/** The reading thread: one session with its view, one statement at a time, batches handed to the main thread. */
const { target } = workerData as ThreadStart
const env = realEnv()
const pool = bufferPool()
let connection: Connection | null = null
let running: RowStream | null = null

parentPort?.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'begin':
      return void report(begin)
    case 'ask':
      return void report(async open => ({ kind: 'rows', rows: await open.query(message.query) }))
    case 'read':
      return void report(open => read(open, message.job))
    case 'credit':
      pool.give(message.buffers)
      return running?.credit()
    case 'drain':
      return running?.drain()
    case 'close':
      return void close()
  }
})

async function report(work: (open: Connection) => Promise<FromThread>): Promise<void> {
  try {
    connection ??= await Connection.open(env, target, 'read')
    post(await work(connection))
  } catch (error) {
    const code = systemCodeOf(error)
    // An error with the server's number came as an answer; everything else leaves the session in an unknown state.
    const usable = error instanceof StatementRefused || /^\d+$/.test(code ?? '')
    post({ kind: 'failed', message: messageOf(error), code, usable })
  }
}

async function begin(open: Connection): Promise<FromThread> {
  await open.run(sql`start transaction with consistent snapshot, read only`)
  const [row] = await open.query(sql`select ${clockMicros}`)
  // A large table may take longer than one statement may; the silence of the socket is watched instead.
  const noLimit = open.kind.isMariaDb ? 'max_statement_time = 0' : 'max_execution_time = 0'
  await open.run(sql`set session ${rawSql(noLimit)}`)
  return { kind: 'begun', thread: open.thread, takenAtMicros: BigInt(row?.[0] as string) }
}

async function read(open: Connection, job: ReadJob): Promise<FromThread> {
  running = new RowStream(open, target, job, { give, pool })
  try {
    await running.run()
  } finally {
    running = null
  }
  return { kind: 'done' }
}

async function close(): Promise<void> {
  await connection?.close()
  parentPort?.close()
}

function give(batch: SourceBatch): void {
  post({ kind: 'batch', batch }, buffersOf(batch.batch))
}

function post(message: FromThread, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}
