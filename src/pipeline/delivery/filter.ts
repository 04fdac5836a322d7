/**
 * What of a journal a destination does not get: taken out between reading and batching, and counted as filtered.
 *
 *  F1  A decision is a pure function of the journal and of what the cursor keeps: what a crash makes us send again
 *      is the same.
 *  F2  What is taken out settles in its place: the cursor passes it with what was delivered around it.
 *  F3  Without filters, and where none takes anything out of a frame, the frame itself is handed on.
 */
import type { RunRecord, UnknownRecord } from '../../core/types.ts'
import type { JournalPoints, JournalRecord } from './batcher.ts'

export interface PointFilter {
  /**
   * Asked before `mask`: false while it has to read on elsewhere before it can decide on this frame. Then it is asked
   * again at the next turn; it must not take longer than a few ms.
   */
  isReady?(frame: JournalPoints): boolean
  /**
   * Sets `kept[i]` to 0 for each point of the frame that the destination is not to get, and nothing to 1. Frames
   * come in order from where reading began, which may be before the cursor.
   */
  mask(frame: JournalPoints, kept: Uint8Array): void
  /** A record has been met, in its place between the frames. */
  met?(seq: number, record: RunRecord | UnknownRecord): void
  close?(): void
}

export interface RecordFilter {
  keeps(seq: number, record: JournalRecord): boolean
}

export interface Filters {
  readonly points: readonly PointFilter[]
  readonly records: readonly RecordFilter[]
}

export const NO_FILTERS: Filters = { points: [], records: [] }

/** Sequence number of point `index` of a frame, filtered or not. */
export function seqAt({ seq, at }: Pick<JournalPoints, 'seq' | 'at'>, index: number): number {
  return seq + (at === undefined ? index : at[index]!)
}

/** How many points the frame has in the journal. */
export function countOf({ points, count }: JournalPoints): number {
  return count ?? points.length
}

/** Index of the first point of a frame whose place in the journal's frame is at or behind `place`. */
export function indexFrom({ points, at }: JournalPoints, place: number): number {
  if (at === undefined) return Math.min(place, points.length)
  let low = 0
  let high = at.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (at[middle]! < place) low = middle + 1
    else high = middle
  }
  return low
}

/** How many points of the frame, from the sequence number `from` on, were taken out. */
export function filteredOf(frame: JournalPoints, from: number): number {
  if (frame.at === undefined) return 0
  const skipped = Math.min(countOf(frame), Math.max(0, from - frame.seq))
  return countOf(frame) - skipped - (frame.points.length - indexFrom(frame, skipped))
}

let mask = new Uint8Array(0)

/** The frame without what the filters take out. */
export function filterFrame(frame: JournalPoints, filters: readonly PointFilter[]): JournalPoints {
  const { length } = frame.points
  if (mask.length < length) mask = new Uint8Array(Math.max(length, 2 * mask.length))
  const kept = mask.subarray(0, length).fill(1)
  for (const filter of filters) filter.mask(frame, kept)
  let count = 0
  for (let index = 0; index < length; index++) count += kept[index]!
  return count === length ? frame : compacted(frame, kept, count)
}

function compacted(frame: JournalPoints, kept: Uint8Array, count: number): JournalPoints {
  const { points } = frame
  const at = new Uint32Array(count)
  const row = new Uint32Array(count)
  const series = new Uint32Array(count)
  const step = new Float64Array(count)
  const time = new Float64Array(count)
  const value = new Float64Array(count)
  for (let index = 0, to = 0; to < count; index++) {
    if (kept[index] === 0) continue
    at[to] = index
    row[to] = frame.row[index]!
    series[to] = points.series[index]!
    step[to] = points.step[index]!
    time[to] = points.time[index]!
    value[to] = points.value[index]!
    to++
  }
  return {
    seq: frame.seq,
    count: points.length,
    at,
    points: { length: count, series, step, time, value },
    row,
    closed: frame.closed,
  }
}
