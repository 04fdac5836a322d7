/** What a run keeps beside points, read back from its folder: records of a kind, and the bytes they name. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { blobPath } from '../../../src/core/blob-path.ts'
import type { BlobRef, FileList, RecordKind, RunRecord, Stats, StoredFile } from '../../../src/core/types.ts'
import { readJournal } from '../journaled.ts'

export type OfKind<Kind extends RecordKind> = Extract<RunRecord, { kind: Kind }>

export function recordsOf<Kind extends RecordKind>(runFolder: string, kind: Kind): OfKind<Kind>[] {
  return readJournal(runFolder).records.filter((record): record is OfKind<Kind> => record.kind === kind)
}

/** @throws Error for bytes that are not what their reference says */
export function bytesOf(runFolder: string, blob: BlobRef): Buffer {
  const bytes = readFileSync(blobPath(runFolder, blob.digest))
  const digest = createHash('sha256').update(bytes).digest('hex')
  if (digest !== blob.digest || bytes.length !== blob.bytes) throw new Error(`${blob.digest} is damaged`)
  return bytes
}

export function listOf(runFolder: string, files: FileList): readonly StoredFile[] {
  return 'digest' in files ? (JSON.parse(bytesOf(runFolder, files).toString()) as StoredFile[]) : files
}

/** Content of each file of an artifact or a model by its path. */
export function contentsOf(runFolder: string, files: FileList): Record<string, string> {
  return Object.fromEntries(
    listOf(runFolder, files).map((file) => [
      file.path,
      'blob' in file ? bytesOf(runFolder, file.blob).toString() : file.uri,
    ]),
  )
}

/** Names of files that are not whole; none but while something is copied. */
export function unfinishedIn(runFolder: string): string[] {
  return readdirSync(join(runFolder, 'blobs')).filter((name) => name.startsWith('tmp-'))
}

/** What is missing in `accepted = journaled + lost + parked`; 0 after flush() or finish(). */
export function unaccounted({ records }: Stats): number {
  return records.accepted - records.journaled - records.lost - records.parked
}
