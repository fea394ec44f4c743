import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { needDebian } from './install.ts'
import { makeFolder } from './server.ts'

/** Files of a certificate for this machine that is its own issuer, and of its key. Everybody may read them. */
export interface Certificate {
  readonly certificate: string
  readonly key: string
}

const days = 24 * 3_600_000

/** Makes a certificate, `DNS:localhost` for its names: good for a week, or one whose time was over yesterday. */
export function makeCertificate(names: string, time: 'valid' | 'expired' = 'valid'): Certificate {
  needDebian('openssl')
  const folder = makeFolder('certificate')
  const file = (name: string): string => path.join(folder, name)
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  }
  const [from, to] = time === 'valid' ? [-1, 7] : [-7, -1]
  // `req -x509` knows no dates in the past, `ca` does.
  writeFileSync(file('ca.conf'), `${settings}subjectAltName = ${names}\n`)
  writeFileSync(file('index'), '')
  writeFileSync(file('serial'), '01')
  openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=naru test', '-keyout', 'key.pem', '-out', 'req')
  const dates = ['-startdate', stamp(from * days), '-enddate', stamp(to * days)]
  const files = ['-in', 'req', '-keyfile', 'key.pem', '-out', 'cert.pem']
  openssl('ca', '-batch', '-selfsign', '-notext', '-config', 'ca.conf', ...files, ...dates)
  // Servers run under accounts of their own.
  execFileSync('chmod', ['644', file('key.pem'), file('cert.pem')])
  return { certificate: file('cert.pem'), key: file('key.pem') }
}

/** As ASN.1 writes it: `20260131120000Z`. */
function stamp(fromNowMs: number): string {
  return new Date(Date.now() + fromNowMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
}

const settings = `
[ca]
default_ca = own
[own]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
`
