/**
 * Images, figures and files of the run itself: each file of the record is one of the run. The history names those that
 * stand at a step (entries.ts); when all of a record are there, the stream is told so, as the SDK does: `uploaded`.
 */
import type { Upload, WriteResult } from '../../../core/types.ts'
import { type Answered, ofRun } from '../api.ts'
import { runPathsOf, type StoredRecord } from '../run-files.ts'
import { RunFiles, type RunFilesParts } from './run-files.ts'

export interface UploadParts extends RunFilesParts {
  /** Tells the run's stream which files are there. */
  readonly tellUploaded: (paths: readonly string[], signal: AbortSignal) => Promise<Answered<unknown>>
}

/** Told in one request. */
const MAX_TOLD = 1000

export function runFilesOfRecord(parts: RunFilesParts, record: StoredRecord, { files }: Upload): RunFiles {
  const paths = runPathsOf(record, files).map((path, index) => {
    const file = files[index]!
    return { path, bytes: 'blob' in file ? file.blob.bytes : 0 }
  })
  return new RunFiles(parts, paths)
}

/** @param files as `runFilesOfRecord` makes them, the same for all steps of the record */
export async function uploadFiles(
  parts: UploadParts,
  files: RunFiles,
  { file, files: all, sent }: Upload,
  signal: AbortSignal,
): Promise<WriteResult> {
  if (file !== undefined) {
    const { index, blob, location } = file
    const content = { file: { location, from: 0, bytes: blob.bytes, sent } }
    return (await files.put(index, content, signal)) ?? { status: 'accepted' }
  }
  // this step comes only when all files are there
  return tellAll(
    parts,
    files.paths.filter((_, index) => 'blob' in all[index]!),
    signal,
  )
}

export async function tellAll(
  { tellUploaded }: UploadParts,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<WriteResult> {
  const told = [...new Set(paths)]
  for (let from = 0; from < told.length; from += MAX_TOLD) {
    const answer = await tellUploaded(told.slice(from, from + MAX_TOLD), signal)
    // of the run, not of the files
    if ('refusal' in answer) return ofRun(answer.refusal)
  }
  return { status: 'accepted' }
}
