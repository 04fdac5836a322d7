/** Which blobs a record needs. */
import { readFileSync } from 'node:fs'
import { blobPath } from '../../core/blob-path.ts'
import type { BlobRef, FileList, RunRecord, StoredFile, UnknownRecord } from '../../core/types.ts'

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
