/** How a journal is opened for reading, and what a reader of records alone meets. */
import type { JournalEntry } from '../../core/types.ts'

export interface OpenJournalOptions {
  /** Sequence number to start at. Default 0. */
  readonly fromSeq?: number
  /** Whose journal it is: a segment of another run that lies in the folder is passed over. Default: any. */
  readonly runId?: string
  /** How many of the sequence numbers below it are points, where that is known: tells how many of a gap there are. */
  readonly pointsBelow?: number
  /** Nothing at or after this sequence number is read: what the writer has published. Default: no limit. */
  readonly limitSeq?: () => number
  /**
   * True while a writer may be appending: then what cannot be read at the growing end is waited for. False for a
   * journal at rest: then it is a torn end and ignored.
   */
  readonly live: boolean
}

/** Counts that frames carry beside points; sums of the frames read so far. */
export interface CarriedCounts {
  coalesced: number
  lost: number
  lostRecords: number
}

/** What a reader of records meets: points are passed over unread. */
export type RecordsEntry =
  | Exclude<JournalEntry, { kind: 'points' }>
  | { readonly kind: 'skipped'; readonly seq: number; readonly points: number }

export interface RecordsReader {
  /** Sequence number of the next entry. */
  readonly seq: number
  next(): RecordsEntry | undefined
  /** `next()` begins anew at `seq` if it is called again. */
  close(): void
}
