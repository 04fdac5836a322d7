/** How far a destination has come in a run's journal, and what must not be forgotten on the way. */
import type { Routing } from './routing.ts'

/** How far a destination has settled a run's journal; replaced atomically, forward only. */
export interface Cursor {
  /** Everything before this sequence number is settled (row sinks: see `back`). */
  readonly seq: number
  /** Where reading must start to rebuild the rows that were unsettled at `seq`; equals `seq` for point sinks. */
  readonly back: number
  /**
   * Row sinks: the rows with points below `seq` that are not settled, as inclusive ranges, ascending. Points
   * between `back` and `seq` of any other row, and records there, are settled. Absent when there are none.
   */
  readonly rows?: readonly (readonly [first: number, last: number])[]
  /** Where to look at the run, as `open` has told. */
  readonly url?: string
  /** Cursor of uploads only: of the record at `seq`, so many files are settled. */
  readonly files?: number
  /** Cursor of uploads only: those of these files that were rejected. */
  readonly refused?: RefusedFiles
  /** Cursor of uploads only: how many of the sequence numbers below `seq` are points. */
  readonly points?: number
  /**
   * Cursor of rows only: the kinds that uploads settle, each from which sequence number on. What rows settled before
   * a sink had uploads of that kind is not settled again.
   */
  readonly uploads?: Readonly<Record<string, number>>
  /** Cursor of rows only, for uploads too: what is for the destination, from which sequence number on; ascending. */
  readonly routes?: readonly CursorRoute[]
  /** Cursor of rows only: the rewinds that are known, where the destination keeps first values; ascending. */
  readonly rewinds?: readonly CursorRewind[]
  /** Cursor of rows only: what was left out of the points because the destination was too late; ascending. */
  readonly thinned?: readonly ThinnedStretch[]
  /** Points and records already settled, by outcome; continues the conservation law after a restart. */
  readonly settled: SettledCounts
  /** The sink's own, opaque, JSON, at most 64 KiB: remote ids, line counts, byte lengths. */
  readonly state: SinkState
}
export interface CursorRoute extends Routing {
  readonly from: number
}
/**
 * Of the points from `from` up to `to`, exclusive, in each `bucket` of sequence numbers counted from `from`, each
 * series keeps its lowest and its highest value, and a NaN if there is one.
 */
export interface ThinnedStretch {
  readonly from: number
  readonly to: number
  readonly bucket: number
}
/** Where a record of a rewind stands, and what it says. */
export interface CursorRewind {
  readonly seq: number
  readonly fromStep: number
  /** It was in the journal before the destination got anything: what it supersedes is not delivered. */
  readonly isAhead?: true
}
/** Files of one record that were rejected: how many, and the first of them. */
export interface RefusedFiles {
  readonly count: number
  readonly first: readonly { readonly path: string; readonly code: string; readonly reason: string }[]
}
export interface SettledCounts {
  readonly delivered: number
  readonly superseded: number
  readonly filtered: number
  readonly rejected: number
  readonly corrupt: number
  readonly recordsDelivered: number
  readonly recordsFiltered: number
  readonly recordsRejected: number
  readonly recordsCorrupt: number
  /** Points and records that the destination's other cursor (rows, uploads) settles. */
  readonly elsewhere: number
}
export type SinkState = Readonly<Record<string, unknown>> | undefined
