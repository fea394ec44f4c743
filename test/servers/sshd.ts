import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { needDebian } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

/** A real OpenSSH server on loopback, in which a key of the caller's own opens the account that the tests run under. */
export interface Sshd extends Server {
  readonly port: number
  readonly user: string
  /** Private key that opens the account; `locked` is the same under the passphrase `open sesame`. */
  readonly privateKey: string
  readonly lockedKey: string
  /** `SHA256:…` of the key that the server shows. */
  readonly hostKey: string
  /** The server's line for a `known_hosts` file. */
  readonly knownHosts: string
}

/** Starts sshd with sftp only; nobody else can log in. */
export async function startSshd(): Promise<Sshd> {
  needDebian('openssh-server', 'openssh-client')
  // Where it locks itself in before a login; made by the service's own start otherwise.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const folder = makeFolder('sshd')
  const file = (name: string): string => path.join(folder, name)
  makeKey(file('host'), 'ed25519', '')
  makeKey(file('user'), 'ed25519', '')
  makeKey(file('locked'), 'rsa', 'open sesame')
  const keys = ['user.pub', 'locked.pub'].map(name => readFileSync(file(name), 'utf8')).join('')
  writeFileSync(file('authorized'), keys, { mode: 0o600 })
  const port = await freePort()
  writeFileSync(
    file('sshd_config'),
    `Port ${port}
ListenAddress 127.0.0.1
HostKey ${file('host')}
PidFile ${file('pid')}
AuthorizedKeysFile ${file('authorized')}
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp
`,
  )
  const server = await startServer('/usr/sbin/sshd', ['-D', '-e', '-f', file('sshd_config')], { ready: port })
  const [type, key] = readFileSync(file('host.pub'), 'utf8').split(' ') as [string, string]
  return {
    ...server,
    port,
    user: execFileSync('id', ['-un'], { encoding: 'utf8' }).trim(),
    privateKey: readFileSync(file('user'), 'utf8'),
    lockedKey: readFileSync(file('locked'), 'utf8'),
    hostKey: execFileSync('ssh-keygen', ['-lf', file('host.pub')], { encoding: 'utf8' }).split(' ')[1] as string,
    knownHosts: `[127.0.0.1]:${port} ${type} ${key}\n`,
  }
}

function makeKey(file: string, type: string, passphrase: string): void {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-f', file])
}
