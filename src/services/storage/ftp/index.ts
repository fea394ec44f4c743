import { implement, option } from '../../../core/implementation.ts'

/** Storage `ftp`: a folder on an FTP server. */
export const ftp = implement({
  service: 'storage',
  kind: 'ftp',
  summary: 'A folder on an FTP server.',
  needs: { 'basic-ftp': '>=6.2 <7' },
  options: {
    url: option.required.secret('Address with user and password: `ftp://user:password@host:21/folder`.'),
    timeout: option.duration('Longest wait for an answer, and for the next bytes of a transfer.', { default: '30s' }),
  },
  open: () => import('./open.ts'),
})
