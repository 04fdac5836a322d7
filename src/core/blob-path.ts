/** Where a run keeps bytes: one rule for those who write them, read them and send them. */
import { join } from 'node:path'
import { TraceletError } from './errors.ts'

export const BLOBS_FOLDER = 'blobs'

/**
 * Path of the blob of a digest: `<run folder>/blobs/<first 2 digits>/<digest>`.
 * @throws TraceletError ERR_BLOB for a text that is no digest, which a run's folder from elsewhere may hold
 */
export function blobPath(runFolder: string, digest: string): string {
  if (!/^[0-9a-f]{64}$/.test(digest)) {
    throw new TraceletError('ERR_BLOB', `'${digest.slice(0, 80)}' is no SHA-256 in hexadecimal`)
  }
  return join(runFolder, BLOBS_FOLDER, digest.slice(0, 2), digest)
}
