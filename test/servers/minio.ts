import { existsSync } from 'node:fs'
import { needGo } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

/** A real MinIO on loopback with one folder; it keeps If-None-Match, which lighter S3 servers do not. */
export interface Minio extends Server {
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Its releases have no version that Go's proxy knows: this is the state of 2026-02-12. Builds in some minutes. */
const version = 'v0.0.0-20260212201848-7aac2a2c5b7c'

/** Starts MinIO; the first time on a machine it is built. */
export async function startMinio(): Promise<Minio> {
  const binary = needGo('github.com/minio/minio', version)
  if (!existsSync(binary)) throw new Error('MinIO was not built')
  const [port, consolePort] = [await freePort(), await freePort()]
  const account = { accessKeyId: 'naru-test', secretAccessKey: 'a secret of the tests' }
  const endpoint = `http://127.0.0.1:${port}`
  const addresses = ['--address', `127.0.0.1:${port}`, '--console-address', `127.0.0.1:${consolePort}`]
  const server = await startServer(binary, ['server', ...addresses, makeFolder('minio')], {
    ready: async () => (await status(`${endpoint}/minio/health/ready`)) === 200,
    spawn: {
      env: {
        ...process.env,
        MINIO_ROOT_USER: account.accessKeyId,
        MINIO_ROOT_PASSWORD: account.secretAccessKey,
        MINIO_BROWSER: 'off',
        MINIO_UPDATE: 'off',
        MINIO_CALLHOME_ENABLE: 'off',
      },
    },
  })
  return { ...server, endpoint, ...account }
}

async function status(url: string): Promise<number> {
  try {
    return (await fetch(url)).status
  } catch {
    return 0 // not there yet
  }
}
