/** Records whose blobs are not kept yet: they hold place-holders, so that they can be measured before. */

import type { BlobRef, RunRecord } from '../../core/types.ts'
import { maxRecordBytes } from '../../ring/layout.ts'
import { encodeRecord } from '../journal/records.ts'
import type { Job } from './messages.ts'

/** The parking thread's lane: as roomy as lanes are by default, whatever the user's are. */
export const PARKING_LANE_SLOTS = 65_536

/** In place of a blob: as long as any. */
export const BLOB_TO_BE: BlobRef = { digest: '0'.repeat(64), bytes: 0, type: 'application/octet-stream' }

/** Whether the parking thread's lane takes it. */
export function fitsParking(record: RunRecord): boolean {
  // media types differ in length
  return encodeRecord(record).length <= maxRecordBytes(PARKING_LANE_SLOTS) / 2
}

/** The record with its blobs, in the order of its contents. */
export function withBlobs(record: RunRecord, blobs: readonly BlobRef[]): RunRecord {
  if (blobs.length === 0) return record
  switch (record.kind) {
    case 'images':
      return { ...record, images: record.images.map((image, index) => ({ ...image, image: blobs[index]! })) }
    case 'text':
      return { ...record, text: blobs[0]! }
    case 'table':
      return { ...record, table: blobs[0]! }
    case 'figure':
      return { ...record, figure: blobs[0]! }
    default:
      return record
  }
}

/**
 * For messages: `image 'confusion'`.
 * @param files that it will have: what is called by them has none before they are kept
 */
export function recordName(record: RunRecord, files: readonly { readonly path: string }[] = []): string {
  const called = (kind: string, name: string) => `${kind} '${name.slice(0, 100)}'`
  switch (record.kind) {
    case 'images':
      return called('image', record.name)
    case 'files': {
      const [first] = files
      if (first === undefined) return 'files of the run'
      return files.length === 1
        ? called('file', first.path)
        : `${files.length} files of the run, ${called('first', first.path)}`
    }
    case 'input':
      return called('input', record.artifact)
    case 'alert':
      return called('alert', record.title)
    default:
      return 'name' in record ? called(record.kind, record.name) : record.kind
  }
}

/** The same of what waits to be kept. */
export function jobName(job: Job): string {
  return recordName(job.record, job.class === 'files' ? job.files : [])
}
