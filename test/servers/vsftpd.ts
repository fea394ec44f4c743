import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { makeCertificate } from './certificate.ts'
import { needDebian } from './install.ts'
import { freePort, makeFolder, startServer, type Server } from './server.ts'

/** A real vsftpd on loopback. Its account is the anonymous one with a password, so that no user of the system is needed. */
export interface Vsftpd extends Server {
  readonly port: number
  readonly user: string
  readonly password: string
  /** PEM of the certificate that it shows, for `127.0.0.1`. */
  readonly certificate: string
  /** Makes a folder that the account may write to: its path on this machine, and its name below the login's folder. */
  readonly makeBox: () => { readonly local: string; readonly remote: string }
}

/** Starts vsftpd: plain, or with TLS and without anything else. Data connections must resume the TLS session. */
export async function startVsftpd(
  tls: 'none' | 'explicit' | 'implicit',
  time: 'valid' | 'expired' = 'valid',
): Promise<Vsftpd> {
  needDebian('vsftpd')
  const folder = makeFolder('vsftpd')
  const file = (name: string): string => path.join(folder, name)
  const password = 'p@ss wörd'
  for (const name of ['root', 'empty']) mkdirSync(file(name), { mode: 0o755 })
  writeFileSync(file('passwords'), `${password}\n`)
  const { certificate, key } = makeCertificate('IP:127.0.0.1', time)
  const port = await freePort()
  const settings = {
    ...common,
    listen_port: port,
    anon_root: file('root'),
    email_password_file: file('passwords'),
    secure_chroot_dir: file('empty'),
    vsftpd_log_file: file('log'),
    ...(tls === 'none' ? {} : { ...secure, rsa_cert_file: certificate, rsa_private_key_file: key }),
    implicit_ssl: tls === 'implicit' ? 'YES' : 'NO',
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(file('vsftpd.conf'), lines.join(''), { mode: 0o600 })
  const server = await startServer('/usr/sbin/vsftpd', [file('vsftpd.conf')], { ready: port })
  let boxes = 0
  return {
    ...server,
    port,
    user: 'anonymous',
    password,
    certificate: readFileSync(certificate, 'utf8'),
    makeBox: () => {
      const remote = `box-${++boxes}`
      const local = path.join(file('root'), remote)
      mkdirSync(local)
      // Written by the server's account and by the test, which is another.
      chmodSync(local, 0o777)
      return { local, remote }
    },
  }
}

const common = {
  background: 'NO',
  listen: 'YES',
  listen_address: '127.0.0.1',
  local_enable: 'NO',
  anonymous_enable: 'YES',
  secure_email_list_enable: 'YES',
  write_enable: 'YES',
  anon_upload_enable: 'YES',
  anon_mkdir_write_enable: 'YES',
  anon_other_write_enable: 'YES',
  anon_umask: '022',
  anon_world_readable_only: 'NO',
  pasv_address: '127.0.0.1',
  pasv_min_port: 31_000,
  pasv_max_port: 31_900,
  seccomp_sandbox: 'NO',
  isolate_network: 'NO',
  xferlog_enable: 'NO',
}

const secure = {
  ssl_enable: 'YES',
  allow_anon_ssl: 'YES',
  force_anon_data_ssl: 'YES',
  force_anon_logins_ssl: 'YES',
  require_ssl_reuse: 'YES',
  ssl_ciphers: 'HIGH',
}
