/** Records whose blobs are not kept yet: they hold place-holders, so that they can be measured before. */

import type { BlobRef, RunRecord } from '../../core/types.ts'
import { maxRecordBytes } from '../../ring/layout.ts'
import { encodeRecord } from '../journal/records.ts'

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

/** For messages: `image 'confusion'`. */
export function recordName(record: RunRecord): string {
  const kind = record.kind === 'images' ? 'image' : record.kind
  return 'name' in record ? `${kind} '${record.name.slice(0, 100)}'` : kind
}
