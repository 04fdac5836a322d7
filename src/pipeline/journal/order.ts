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
  /** Only of a segment whose numbers go back somewhere. */
  readonly #spans: readonly Span[] = []

  /** Reads all headers of the segment up to `end`. */
  constructor(file: SegmentFile, end: number) {
    const spans: Span[] = []
    let isAscending = true
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
          if (from < highest) isAscending = false
          highest = Math.max(highest, from)
          if (count > 0) spans.push({ at, from, to: from + count })
        }
        at = next < end && scanned.header(next) !== undefined ? next : scanned.search(at + 1, end)
      }
    } finally {
      scanned?.close()
    }
    this.#spans = isAscending ? [] : spans
  }

  /** Whether numbers from `seq` on that are lower than the frame's own come after it. */
  isEarly(at: number, header: FrameHeader, seq: number): boolean {
    return this.#spans.some((span) => span.at > at && span.to > seq && span.from < header.firstSeq)
  }
}
