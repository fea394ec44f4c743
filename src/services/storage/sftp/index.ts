import { implement, option } from '../../../core/implementation.ts'

/** Storage `sftp`: a folder on an SSH server. */
export const sftp = implement({
  service: 'storage',
  kind: 'sftp',
  summary: 'A folder on an SSH server.',
  needs: { ssh2: '>=1.15 <2' },
  options: {
    url: option.required.secret(
      "Address with user: `sftp://user:password@host:22/folder`; `/~/folder` is below the login's own folder.",
    ),
    privateKey: option.secret("Private key of the user, as `file('id_ed25519')`, instead of a password."),
    passphrase: option.secret('Passphrase of the private key.'),
    hostKey: option.text(
      "Fingerprint of the server's key, `SHA256:…`; several with commas. Otherwise it must stand in `~/.ssh/known_hosts`.",
    ),
    timeout: option.duration('Longest wait for an answer, and for the next bytes of a transfer.', { default: '30s' }),
  },
  open: () => import('./open.ts'),
})
