/**
 * Lets a destination that is too far behind catch up: of what waits in the journal it gets the extremes only.
 *
 *  T1  A stretch is what is journaled and not read yet when `maxLagMs` is exceeded, so that it never grows. It is in
 *      the cursor, on disk, before anything is sent by it: after a crash the same points are chosen.
 *  T2  The size of a bucket is such that the stretch is sent in a quarter of `maxLagMs` at the pace of the
 *      destination. When it is through, another begins if the lag is still more than half of `maxLagMs`.
 *
 * Points are chosen, not rows, for sinks that take rows too: the extremes of different series lie in different rows,
 * so that whole rows around them would be nearly all rows as soon as there are many series. Records are never left out.
 */
import type { ThinnedStretch } from '../../core/types.ts'
import type { JournalPoints } from './batcher.ts'
import type { PointFilter } from './filter.ts'
import { type ScoutParts, ThinScout } from './thin-scout.ts'

/** A bucket keeps at most so many points of a series, NaN apart. */
const KEPT_OF_SERIES = 2
/** Smaller buckets would leave out next to nothing. */
const MIN_BUCKET_OF_SERIES = 2 * KEPT_OF_SERIES
/** After a plan that could not be saved. */
const RETRY_MS = 1_000

export interface ThinningParts extends ScoutParts {
  /** Stretches that the cursor has, ascending. */
  readonly stretches: readonly ThinnedStretch[]
  /** Monotonic ms. */
  now(): number
  /** How long what stands at `seq` has been waiting. */
  lagOf(seq: number, now: number): number
  /** Points a second that the destination takes; undefined while that is not known. */
  pace(): number | undefined
  /** How far the journal can be read. */
  journalSeq(): number
  /** Puts the stretch into the cursor, on disk. False: the disk does not take it. */
  keep(stretch: ThinnedStretch): boolean
  onBegin(stretch: ThinnedStretch, lagMs: number): void
}

export class Thinning implements PointFilter {
  readonly #parts: ThinningParts
  /** Undefined: no more stretches are begun. */
  readonly #maxLagMs: number | undefined
  #stretches: ThinnedStretch[]
  #scout: { readonly of: ThinnedStretch; readonly scout: ThinScout } | undefined
  #isCatchingUp = false
  #notBefore = -Infinity

  constructor(maxLagMs: number | undefined, parts: ThinningParts) {
    this.#parts = parts
    this.#maxLagMs = maxLagMs
    this.#stretches = [...parts.stretches]
  }

  isReady(frame: JournalPoints): boolean {
    const end = frame.seq + frame.points.length
    while (this.#stretches.length > 0 && this.#stretches[0]!.to <= frame.seq) this.#stretches.shift()
    if (this.#stretches.length === 0 && this.#maxLagMs !== undefined) this.#consider(frame, this.#maxLagMs)
    const stretch = this.#stretches[0]
    if (stretch === undefined || stretch.from >= end) {
      this.close()
      return true
    }
    if (this.#scout?.of !== stretch) {
      this.close()
      this.#scout = { of: stretch, scout: new ThinScout(stretch, frame.seq, this.#parts) }
    }
    return this.#scout.scout.decide(end)
  }

  mask(frame: JournalPoints, kept: Uint8Array): void {
    this.#scout?.scout.mask(frame, kept)
  }

  close(): void {
    this.#scout?.scout.close()
    this.#scout = undefined
  }

  /** Begins a stretch with this frame if it is too old. */
  #consider(frame: JournalPoints, maxLagMs: number): void {
    const { now, lagOf, pace, journalSeq, keep, onBegin } = this.#parts
    const at = now()
    if (at < this.#notBefore) return
    const lagMs = lagOf(frame.seq, at)
    const isLate = lagMs > (this.#isCatchingUp ? maxLagMs / 2 : maxLagMs)
    this.#isCatchingUp &&= isLate
    const pointsPerSecond = isLate ? pace() : undefined
    if (pointsPerSecond === undefined) return
    const to = journalSeq()
    const bucket = bucketFor(to - frame.seq, seriesIn(frame), (pointsPerSecond * maxLagMs) / 4_000)
    const stretch = { from: frame.seq, to, bucket }
    if (!keep(stretch)) {
      this.#notBefore = at + RETRY_MS
      return
    }
    this.#isCatchingUp = true
    this.#stretches.push(stretch)
    onBegin(stretch, lagMs)
  }
}

/**
 * How many sequence numbers make a bucket, so that of `waiting` points about `budget` are kept.
 * @param series how many there are
 */
export function bucketFor(waiting: number, series: number, budget: number): number {
  const buckets = Math.max(1, Math.floor(budget / (KEPT_OF_SERIES * series)))
  return Math.max(MIN_BUCKET_OF_SERIES * series, Math.ceil(waiting / buckets))
}

function seriesIn({ points: { series, length } }: JournalPoints): number {
  const seen = new Set<number>()
  for (let at = 0; at < length; at++) seen.add(series[at]!)
  return Math.max(1, seen.size)
}
