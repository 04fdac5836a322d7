/** A run's folder with blobs, and the steps in which a record's files are uploaded: what the pipeline does. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { blobPath } from '../../../src/core/blob-path.ts'
import type {
  BlobRef,
  RunRecord,
  Sink,
  SinkState,
  StoredFile,
  Upload,
  WriteResult,
} from '../../../src/core/types.ts'

/** Writes bytes where a run keeps them. */
export function storeBlob(folder: string, bytes: Uint8Array | string, type: string): BlobRef {
  const content = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  const digest = createHash('sha256').update(content).digest('hex')
  const path = blobPath(folder, digest)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return { digest, bytes: content.byteLength, type }
}

export function filesOf(record: RunRecord): readonly StoredFile[] {
  const numbered = (blobs: readonly BlobRef[]) => blobs.map((blob, i) => ({ path: String(i), blob }))
  switch (record.kind) {
    case 'text':
      return typeof record.text === 'string' ? [] : numbered([record.text])
    case 'images':
      return numbered(record.images.map(({ image }) => image))
    case 'table':
      return numbered([record.table])
    case 'figure':
      return numbered([record.figure])
    case 'artifact':
    case 'model':
    case 'files':
      return record.files as readonly StoredFile[]
    default:
      return []
  }
}

export interface Steps {
  readonly state?: SinkState
  readonly keep?: (state: SinkState) => void
  readonly sent?: (bytes: number) => void
  readonly signal?: AbortSignal
}

/** Sends a record step by step until an answer is not 'accepted'; the answers. */
export async function uploadRecord(
  sink: Sink,
  folder: string,
  record: RunRecord,
  seq: number,
  steps: Steps = {},
): Promise<WriteResult[]> {
  const files = filesOf(record)
  let state: SinkState = steps.state
  const answers: WriteResult[] = []
  const signal = steps.signal ?? new AbortController().signal
  const step = async (file: Upload['file']): Promise<boolean> => {
    const upload: Upload = {
      ...{ seq, record, files, state },
      ...(file && { file }),
      keep: (kept) => {
        state = kept
        steps.keep?.(kept)
      },
      sent: (bytes) => steps.sent?.(bytes),
    }
    const answer = await sink.upload!(upload, signal)
    answers.push(answer)
    if ('state' in answer) state = answer.state
    return answer.status === 'accepted'
  }
  for (const [index, file] of files.entries()) {
    if (!('blob' in file)) continue
    const { blob, path } = file
    if (!(await step({ index, path, blob, location: blobPath(folder, blob.digest) }))) return answers
  }
  await step(undefined)
  return answers
}
