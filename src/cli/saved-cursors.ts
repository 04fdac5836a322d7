/** How far a destination got, as its cursors on disk say. */
import type { Cursor, SettledCounts } from '../core/types.ts'
import { CursorStore, uploadsName } from '../pipeline/store/cursor.ts'
import type { RunDestination } from '../pipeline/store/run-file.ts'

export interface SavedCursors {
  readonly rows: Cursor | undefined
  /** Of records that are uploaded; undefined where there were none. */
  readonly uploads: Cursor | undefined
  /** What was found damaged. */
  readonly damage: readonly string[]
}

/** Only reads. @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote them */
export function savedCursors(folder: string, { name, address }: RunDestination): SavedCursors {
  const damage: string[] = []
  const read = (store: string) =>
    new CursorStore(folder, store, (issue) => damage.push(issue.message)).load(address)
  return { rows: read(name), uploads: read(uploadsName(name)), damage }
}

/** What a destination has settled, by its two cursors together. */
export function settledOf({ rows, uploads }: SavedCursors): Omit<SettledCounts, 'superseded' | 'elsewhere'> {
  const sum = (pick: (counts: SettledCounts) => number) =>
    (rows ? pick(rows.settled) : 0) + (uploads ? pick(uploads.settled) : 0)
  return {
    delivered: sum((one) => one.delivered),
    rejected: sum((one) => one.rejected),
    filtered: sum((one) => one.filtered),
    corrupt: sum((one) => one.corrupt),
    recordsDelivered: sum((one) => one.recordsDelivered),
    recordsRejected: sum((one) => one.recordsRejected),
    recordsFiltered: sum((one) => one.recordsFiltered),
    recordsCorrupt: sum((one) => one.recordsCorrupt),
  }
}
