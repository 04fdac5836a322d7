/** Which blobs a record needs, and whether they are what the journal says. */
import { readFileSync, statSync } from 'node:fs'
import { blobPath } from '../../core/blob-path.ts'
import { TraceletError } from '../../core/errors.ts'
import type { BlobRef, FileList, RunRecord, StoredFile, UnknownRecord } from '../../core/types.ts'
import { StoredBlob } from '../../run/stored-blob.ts'

/** A list of files is read too, where it can be. */
export function blobsOf(folder: string, record: RunRecord | UnknownRecord): BlobRef[] {
  switch (record.kind) {
    case 'text':
      return typeof record.text === 'string' ? [] : [record.text]
    case 'images':
      return record.images.map(({ image }) => image)
    case 'table':
      return [record.table]
    case 'figure':
      return [record.figure]
    case 'artifact':
    case 'model':
    case 'files':
      return filesOf(folder, record.files)
    default:
      return []
  }
}

function filesOf(folder: string, files: FileList): BlobRef[] {
  if ('digest' in files) return [files, ...contentOf(readList(folder, files))]
  return contentOf(files)
}

function contentOf(files: readonly StoredFile[]): BlobRef[] {
  return files.flatMap((file) => ('blob' in file ? [file.blob] : []))
}

function readList(folder: string, { digest }: BlobRef): readonly StoredFile[] {
  try {
    const files: unknown = JSON.parse(readFileSync(blobPath(folder, digest), 'utf8'))
    return Array.isArray(files) ? files : []
  } catch {
    // the list itself is told as missing or damaged
    return []
  }
}

/** Why a blob is not what it should be; undefined when it is. Reads all of it. */
export function blobFault(folder: string, blob: BlobRef): string | undefined {
  const { digest, bytes } = blob
  const name = `${digest.slice(0, 12)}…`
  try {
    const { size } = statSync(blobPath(folder, digest))
    if (size !== bytes) return `${name} has ${size} bytes instead of ${bytes}`
    // each part is hashed as it comes
    for (const _ of new StoredBlob(folder, blob).parts());
    return undefined
  } catch (error) {
    if (error instanceof TraceletError) return error.message
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? `${name} is missing`
      : `${name} cannot be read: ${(error as Error).message}`
  }
}
