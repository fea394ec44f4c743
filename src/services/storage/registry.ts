import type { StorageOpening, Storage } from './contract.ts'
import { ftp } from './ftp/index.ts'
import { local } from './local/index.ts'
import { s3 } from './s3/index.ts'
import { sftp } from './sftp/index.ts'

/** Every storage, by kind: data only, so that naming one loads no driver. */
export const storages = { local, ftp, sftp, s3 }

export type StorageKind = keyof typeof storages

/** Loads the implementation of `kind` and opens it. */
export async function openStorage(kind: StorageKind, given: StorageOpening): Promise<Storage> {
  const module = await storages[kind].open()
  return module.openStorage(given)
}
