/**
 * Frames of a segment that stand in the wrong place, such as a block that the disk has written twice. Taken where it
 * stands, a frame of later numbers would make everything between look lost.
 */
import type { FrameHeader } from './format.ts'
import { nextFrame, SegmentFile, unlessRemoved } from './segment-file.ts'

interface Span {
  readonly at: number
  readonly from: number
  readonly to: number
}

export class FrameOrder {
  /** Those that come after a frame of higher numbers: no other can be missed where a frame of higher numbers stands. */
  readonly #displaced: Span[] = []
  /** The lowest number of each of them and those after it. */
  readonly #lowest: number[] = []
  /** Those before it are passed, or hold nothing new. */
  #next = 0

  /** Reads all headers of the segment up to `end`. */
  constructor(file: SegmentFile, end: number) {
    let highest = 0
    // of a segment that was removed under its reader, what stands where is not known any more
    const scanned = unlessRemoved(() => new SegmentFile('', file.number, file.path))
    try {
      if (scanned === undefined) return
      scanned.stamp = file.stamp
      for (let at = scanned.search(0, end); at >= 0; ) {
        const header = scanned.header(at)!
        const next = nextFrame(at, header)
        const { firstSeq: from, count } = header
        if (next <= end) {
          if (from < highest && count > 0) this.#displaced.push({ at, from, to: from + count })
          highest = Math.max(highest, from)
        }
        at = next < end && scanned.header(next) !== undefined ? next : scanned.search(at + 1, end)
      }
    } finally {
      scanned?.close()
    }
    let lowest = Infinity
    for (let i = this.#displaced.length - 1; i >= 0; i--) {
      lowest = Math.min(lowest, this.#displaced[i]!.from)
      this.#lowest[i] = lowest
    }
  }

  /**
   * Whether numbers from `seq` on that are lower than the frame's own come after it. To be asked in the order of the
   * reading: neither `at` nor `seq` goes back.
   */
  isEarly(at: number, header: FrameHeader, seq: number): boolean {
    const spans = this.#displaced
    const isPassed = (span: Span) => span.at <= at || span.to <= seq
    while (this.#next < spans.length && isPassed(spans[this.#next]!)) this.#next++
    for (let i = this.#next; i < spans.length && this.#lowest[i]! < header.firstSeq; i++) {
      const span = spans[i]!
      if (!isPassed(span) && span.from < header.firstSeq) return true
    }
    return false
  }
}
