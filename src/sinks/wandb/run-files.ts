/**
 * The files that records bring to a run at W&B, and where each lies among its others: images, figures and tables
 * below `media/`, files of the run itself under their own paths.
 */

import { blobPath } from '../../core/blob-path.ts'
import { FILE_LIST_TYPE } from '../../core/media-types.ts'
import type { BlobRef, FileList, RunInfo, RunRecord, StoredFile } from '../../core/types.ts'
import { BlobError, headOf, verified } from '../run-blobs.ts'
import { type Refused, refused } from './entries/entry.ts'
import { figurePath } from './entries/figure.ts'
import { imagePath } from './entries/images.ts'
import { tablePath } from './entries/table.ts'
import { openTable, type WandbTable } from './tables.ts'

export type FileRecord = Extract<RunRecord, { kind: 'images' | 'table' | 'figure' | 'files' }>

/** Bytes that lie in a file, or that are made while they are read: the same each time. */
export type RunFile = {
  /** Among the files of the run. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
} & ({ readonly location: string } | { readonly chunks: () => AsyncIterable<Buffer> })

/**
 * Each path once; of two files for one path the later. What is a reference has no bytes here and is left out.
 * @param table that of the record, where it is open
 * @throws errors of node:fs that may pass
 */
export async function runFilesOf(
  record: FileRecord,
  run: RunInfo,
  table?: WandbTable,
): Promise<readonly RunFile[] | Refused> {
  try {
    const files = await filesOf(record, run, table)
    return [...new Map(files.map((file) => [file.path, file])).values()]
  } catch (error) {
    if (error instanceof BlobError) return refused(error.message)
    throw error
  }
}

/** A record whose files are the run's as they are. */
export type StoredRecord = Exclude<FileRecord, { kind: 'table' }>

/** Where the files of a record lie among the run's, file by file. */
export function runPathsOf(record: StoredRecord, files: readonly StoredFile[]): readonly string[] {
  switch (record.kind) {
    case 'images':
      return record.images.map((one) => imagePath(record, one))
    case 'figure':
      return [figurePath(record)]
    case 'files':
      return files.map(({ path }) => ownPath(path))
  }
}

async function filesOf(
  record: FileRecord,
  run: RunInfo,
  opened: WandbTable | undefined,
): Promise<readonly RunFile[]> {
  if (record.kind === 'table') {
    const table = opened ?? (await openTable(record.table, run.folder))
    const made = await table.measured('run')
    return [{ path: tablePath(record, made), ...made, chunks: () => table.chunks('run') }]
  }
  const files = await storedFilesOf(record, run)
  const paths = runPathsOf(record, files)
  return files.flatMap((file, at) => ('blob' in file ? [stored(paths[at]!, file.blob, run)] : []))
}

async function storedFilesOf(record: StoredRecord, run: RunInfo): Promise<readonly StoredFile[]> {
  switch (record.kind) {
    case 'images':
      return record.images.map(({ image }, at) => ({ path: String(at), blob: image }))
    case 'figure':
      return [{ path: '0', blob: record.figure }]
    case 'files':
      return listOf(record.files, run)
  }
}

function stored(path: string, { digest, bytes }: BlobRef, { folder }: RunInfo): RunFile {
  try {
    return { path, bytes, sha256: digest, location: blobPath(folder, digest) }
  } catch (error) {
    throw new BlobError((error as Error).message)
  }
}

/**
 * Files that W&B keeps of its own accord: one of the user's in their place would hide them, or be hidden. Such a name,
 * and each that looks like a moved one, has one `_` more: `output.log` is `output_.log`.
 */
const W_AND_BS =
  /^(wandb-history|wandb-events|wandb-summary|wandb-metadata|output|config)(_*)\.(jsonl|json|log|yaml)$/i

/** Where a file of the run itself lies among them. */
export function ownPath(path: string): string {
  return path.replace(W_AND_BS, '$1$2_.$3')
}

export async function listOf(files: FileList, { folder }: RunInfo): Promise<readonly StoredFile[]> {
  if (!('digest' in files)) return files
  if (files.type !== FILE_LIST_TYPE) throw new BlobError(`${files.digest} is no list of files`)
  const piece = await verified(files, folder)
  try {
    const list: unknown = JSON.parse((await headOf(piece, Infinity)).toString('utf8'))
    if (Array.isArray(list) && list.every((one) => typeof one?.path === 'string')) return list
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new BlobError(`${piece.location} is no list of files`)
}
