/** The frames of a stretch of a segment, to be written again elsewhere. */
import { FRAME } from './format.ts'
import { nextFrame, SegmentFile } from './segment-file.ts'
import type { JournalPlace } from './segments.ts'

export interface FramesBetween {
  /** Of the first of them; undefined when there are none. */
  readonly place: JournalPlace | undefined
  readonly frames: Iterable<Uint8Array>
}

const NONE: FramesBetween = { place: undefined, frames: [] }

/**
 * What cannot be read is left out: readers see by the sequence numbers that it is gone. SEGMENT and SERIES frames are
 * left out too: every segment begins with its own, and the seals of an older one hold no more.
 * @param from end of a frame, or 0
 */
export function framesBetween(folder: string, number: number, from: number, to: number): FramesBetween {
  try {
    const file = new SegmentFile(folder, number)
    try {
      const at = file.search(from, to)
      if (at < 0) return NONE
      const { firstSeq, pointsBefore } = file.header(at)!
      return { place: { firstSeq, pointsBefore }, frames: intactFrames(folder, number, from, to) }
    } finally {
      file.close()
    }
  } catch {
    return NONE
  }
}

function* intactFrames(folder: string, number: number, from: number, to: number): Generator<Uint8Array> {
  const file = new SegmentFile(folder, number)
  try {
    for (let at = file.search(from, to); at >= 0; ) {
      const header = file.header(at)!
      const next = nextFrame(at, header)
      if (next > to) return
      const isBeginning = header.type === FRAME.segment || header.type === FRAME.series
      if (!isBeginning && typeof file.payload(at, header) !== 'string') {
        const frame = new Uint8Array(next - at)
        if (!copied(file, at, frame)) return
        yield frame
      }
      at = file.search(next, to)
    }
  } finally {
    file.close()
  }
}

function copied(file: SegmentFile, at: number, into: Uint8Array): boolean {
  try {
    return file.copy(at, into)
  } catch {
    return false
  }
}
