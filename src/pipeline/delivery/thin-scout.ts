/**
 * Reads ahead in a stretch that is thinned, and finds which of its points are to be kept: of each series, in each
 * bucket of sequence numbers, the first of the lowest, the first of the highest and the first NaN.
 *
 * It needs room for a few numbers per series, whatever the size of a bucket.
 */
import type { JournalEntry, JournalReader, ThinnedStretch } from '../../core/types.ts'
import type { JournalPoints } from './batcher.ts'
import type { PointFilter } from './filter.ts'

/** Points that one call looks at: about a millisecond. */
const POINTS_PER_CALL = 16_384

export interface ScoutParts {
  openReader(from: number): JournalReader
  /** Points that do not pass are not chosen from; undefined when all do. */
  filter(reader: JournalReader): PointFilter | undefined
}

export class ThinScout {
  readonly #stretch: ThinnedStretch
  readonly #reader: JournalReader
  readonly #filter: PointFilter | undefined
  /** Everything below is decided. */
  #decidedTo: number
  /** Kept points, ascending; those before #keptAt lie behind the last frame asked for. */
  #kept: number[] = []
  #keptAt = 0
  #frame: Extract<JournalEntry, { kind: 'points' }> | undefined
  #frameMask: Uint8Array | undefined
  /** Next point of the frame. */
  #at = 0
  readonly #extremes = new Extremes()

  /** @param from where deciding begins; the start of a bucket is sought before it */
  constructor(stretch: ThinnedStretch, from: number, parts: ScoutParts) {
    this.#stretch = stretch
    const start = bucketStart(stretch, Math.max(from, stretch.from))
    this.#decidedTo = start
    this.#reader = parts.openReader(start)
    this.#filter = parts.filter(this.#reader)
  }

  /** Decides on all points below `to`, or as many as a call may take. False: ask again. */
  decide(to: number): boolean {
    const end = Math.min(to, this.#stretch.to)
    let budget = POINTS_PER_CALL
    while (this.#decidedTo < end) {
      if (budget <= 0) return false
      const entry = this.#frame ?? this.#next()
      if (entry === undefined) {
        // a power cut may have taken what the stretch was made for
        this.#endBucket(this.#reader.seq)
        return true
      }
      budget -= this.#take(entry)
    }
    return true
  }

  /** Of a frame that is decided. */
  mask({ seq, points }: JournalPoints, kept: Uint8Array): void {
    const from = Math.max(0, this.#stretch.from - seq)
    const end = Math.min(points.length, this.#stretch.to - seq)
    while (this.#keptAt < this.#kept.length && this.#kept[this.#keptAt]! < seq + from) this.#keptAt++
    let next = this.#keptAt
    for (let at = from; at < end; at++) {
      if (this.#kept[next] === seq + at) next++
      else kept[at] = 0
    }
    this.#forget()
  }

  close(): void {
    this.#reader.close()
  }

  #next(): Extract<JournalEntry, { kind: 'points' }> | undefined {
    for (let entry = this.#reader.next(); entry !== undefined; entry = this.#reader.next()) {
      if (entry.kind !== 'points') continue
      this.#frame = entry
      this.#frameMask = this.#masked(entry)
      this.#at = Math.max(0, this.#decidedTo - entry.seq)
      return entry
    }
    return undefined
  }

  #masked(entry: JournalPoints): Uint8Array | undefined {
    if (this.#filter === undefined) return undefined
    const mask = new Uint8Array(entry.points.length).fill(1)
    this.#filter.mask(entry, mask)
    return mask
  }

  /** Takes points up to the end of the frame or the bucket; returns how many. */
  #take(entry: Extract<JournalEntry, { kind: 'points' }>): number {
    const { series, value, length } = entry.points
    const bucketEnd = this.#bucketEnd()
    const start = this.#at
    const end = Math.max(start, Math.min(length, bucketEnd - entry.seq, start + POINTS_PER_CALL))
    const mask = this.#frameMask
    for (let at = start; at < end; at++) {
      if (mask === undefined || mask[at] === 1) this.#extremes.add(series[at]!, value[at]!, entry.seq + at)
    }
    this.#at = end
    if (end === length) this.#frame = undefined
    const reached = end === length ? Math.max(this.#reader.seq, entry.seq + length) : entry.seq + end
    if (reached >= bucketEnd) this.#endBucket(bucketEnd)
    return end - start + 1
  }

  #bucketEnd(): number {
    const { to, bucket } = this.#stretch
    return Math.min(to, bucketStart(this.#stretch, this.#decidedTo) + bucket)
  }

  #endBucket(at: number): void {
    this.#decidedTo = Math.max(this.#decidedTo, at)
    this.#extremes.take(this.#kept)
  }

  #forget(): void {
    if (this.#keptAt < 4_096) return
    this.#kept = this.#kept.slice(this.#keptAt)
    this.#keptAt = 0
  }
}

/** Where the bucket that holds `seq` begins. */
export function bucketStart({ from, bucket }: ThinnedStretch, seq: number): number {
  return from + Math.floor((seq - from) / bucket) * bucket
}

/** By series: the lowest, the highest and a NaN of a bucket, by value and sequence number. */
class Extremes {
  #touched: number[] = []
  /** -1 for none. */
  #lowestAt = new Float64Array(0)
  #highestAt = new Float64Array(0)
  #nanAt = new Float64Array(0)
  #lowest = new Float64Array(0)
  #highest = new Float64Array(0)

  add(series: number, value: number, seq: number): void {
    if (series >= this.#lowestAt.length) this.#grow(series + 1)
    if (Number.isNaN(value)) {
      if (this.#nanAt[series]! >= 0) return
      if (this.#lowestAt[series]! < 0) this.#touched.push(series)
      this.#nanAt[series] = seq
    } else if (this.#lowestAt[series]! < 0) {
      if (this.#nanAt[series]! < 0) this.#touched.push(series)
      this.#lowestAt[series] = seq
      this.#highestAt[series] = seq
      this.#lowest[series] = value
      this.#highest[series] = value
    } else if (value < this.#lowest[series]!) {
      this.#lowestAt[series] = seq
      this.#lowest[series] = value
    } else if (value > this.#highest[series]!) {
      this.#highestAt[series] = seq
      this.#highest[series] = value
    }
  }

  /** Appends the sequence numbers of what was found, ascending, and begins anew. */
  take(kept: number[]): void {
    const found: number[] = []
    for (const series of this.#touched) {
      const [lowest, highest, nan] = [this.#lowestAt[series]!, this.#highestAt[series]!, this.#nanAt[series]!]
      if (lowest >= 0) found.push(lowest)
      if (highest >= 0 && highest !== lowest) found.push(highest)
      if (nan >= 0) found.push(nan)
      this.#lowestAt[series] = -1
      this.#highestAt[series] = -1
      this.#nanAt[series] = -1
    }
    this.#touched = []
    found.sort((a, b) => a - b)
    for (const seq of found) kept.push(seq)
  }

  #grow(count: number): void {
    const room = Math.max(count, 64, 2 * this.#lowestAt.length)
    const grown = (column: Float64Array, fill: number): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array(room).fill(fill)
      larger.set(column)
      return larger
    }
    this.#lowestAt = grown(this.#lowestAt, -1)
    this.#highestAt = grown(this.#highestAt, -1)
    this.#nanAt = grown(this.#nanAt, -1)
    this.#lowest = grown(this.#lowest, 0)
    this.#highest = grown(this.#highest, 0)
  }
}
