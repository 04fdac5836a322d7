/** Content of a run as the pipeline keeps it, for tests that send it. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { blobPath } from '../../src/core/blob-path.ts'
import { FILE_LIST_TYPE } from '../../src/core/media-types.ts'
import type { BlobRef, StoredFile } from '../../src/core/types.ts'

export function writeBlob(runFolder: string, content: string | Uint8Array, type = 'text/plain'): BlobRef {
  const bytes = Buffer.from(content as string)
  const digest = createHash('sha256').update(bytes).digest('hex')
  const path = blobPath(runFolder, digest)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, bytes)
  return { digest, bytes: bytes.length, type }
}

/** The list of many files, as a blob. */
export function writeFileList(runFolder: string, files: readonly StoredFile[]): BlobRef {
  return writeBlob(runFolder, JSON.stringify(files), FILE_LIST_TYPE)
}
