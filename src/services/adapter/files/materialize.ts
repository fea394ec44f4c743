import { noteDiskFull } from '../../../core/spool.ts'
import type { Content } from './content.ts'
import type { Packed } from './packed.ts'

/** Parquet is read from its end: what comes out of a packed file is written into one of ours first, within the limits. */
export async function materialize(
  { env, localPath: packedPath }: Packed,
  content: Content,
): Promise<{ readonly localPath: string; remove(): Promise<void> }> {
  if (content.localPath !== null) return { localPath: content.localPath, remove: () => Promise.resolve() }
  const localPath = `${packedPath}.parquet`
  const remove = (): Promise<void> => env.files.rm(localPath, { force: true })
  try {
    await noteDiskFull(localPath, () => env.files.writeFile(localPath, content.chunks, { mode: 0o600 }))
  } catch (error) {
    await remove()
    throw error
  }
  return { localPath, remove }
}
