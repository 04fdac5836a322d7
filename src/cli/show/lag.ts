/** How far a destination is behind: the age of the oldest point or record that it has still to get. */
import type { RunRecord, UnknownRecord } from '../../core/types.ts'
import { openJournal } from '../../pipeline/journal/reader.ts'
import type { DestinationOverview } from '../overview.ts'

/** A record without a time stands beside points that have one; further away nothing is looked for. */
const MAX_ENTRIES = 1_000

/**
 * @param now wall ms
 * @returns ms by the times of points and records; 0 when nothing waits
 * @throws TraceletError ERR_JOURNAL_FORMAT
 */
export function lagOf(
  folder: string,
  { cursors, points, records }: DestinationOverview,
  now: number,
): number {
  if (points + records === 0) return 0
  const { rows, uploads } = cursors
  const kinds = rows?.uploads ?? {}
  const isUpload = ({ kind }: RunRecord | UnknownRecord) => Object.hasOwn(kinds, kind)
  const oldest = Math.min(
    timeAt(folder, rows?.seq ?? 0),
    Object.keys(kinds).length === 0 ? Infinity : timeAt(folder, uploads?.seq ?? 0, isUpload),
  )
  return oldest === Infinity ? 0 : Math.max(0, now - oldest)
}

/** Wall ms of the oldest of the first from `seq` on, up to the first point; Infinity when there is none. */
function timeAt(
  folder: string,
  seq: number,
  isOurs?: (record: RunRecord | UnknownRecord) => boolean,
): number {
  const reader = openJournal(folder, { live: false, fromSeq: seq })
  let oldest = Infinity
  try {
    for (let left = MAX_ENTRIES; left > 0; left--) {
      const entry = reader.next()
      if (entry === undefined) break
      if (entry.kind === 'points') {
        const at = Math.max(0, seq - entry.seq)
        if (isOurs === undefined && at < entry.points.length) return Math.min(oldest, entry.points.time[at]!)
      } else if (entry.kind === 'record' && entry.seq >= seq && (isOurs?.(entry.record) ?? true)) {
        const { record } = entry
        if (!('time' in record) || typeof record.time !== 'number') continue
        oldest = Math.min(oldest, record.time)
        if (isOurs !== undefined) break
      }
    }
  } finally {
    reader.close()
  }
  return oldest
}
