import { implement, option } from '../../../core/implementation.ts'

/** Storage `ftp`: a folder on an FTP or FTPS server. */
export const ftp = implement({
  service: 'storage',
  kind: 'ftp',
  summary: 'A folder on an FTP or FTPS server.',
  needs: { 'basic-ftp': '>=6.2 <7' },
  options: {
    url: option.required.secret(
      'Address with user and password: `ftp://user:password@host:21/folder`; `ftps://` asks for TLS after the greeting, `ftps-implicit://` and port 990 begin with it.',
    ),
    ca: option.secret("Certificates of the server's authority, PEM, as `file('ca.pem')`; those of Node when left out."),
    nameEncoding: option.text('Encoding of file names on a server without UTF-8, such as cp949.', { default: 'utf-8' }),
    timeout: option.duration('Longest wait for an answer, and for the next bytes of a transfer.', { default: '30s' }),
  },
  open: () => import('./open.ts'),
})
