/** The frames that a segment got since it was last known to be safe, to be written again elsewhere. */
import { FRAME_HEADER_BYTES } from './format.ts'
import { nextFrame, SegmentFile } from './segment-file.ts'

export interface FramesSince {
  /** First sequence number in them, and points before it; undefined when there are none. */
  readonly seq: number | undefined
  readonly points: number | undefined
  readonly frames: Iterable<Uint8Array>
}

/** @param from end of a frame, or 0; SEGMENT and SERIES frames at the beginning come too and do no harm */
export function framesSince(folder: string, number: number, from: number, to: number): FramesSince {
  const file = new SegmentFile(folder, number)
  try {
    const at = file.search(from, to)
    const first = at < 0 ? undefined : file.header(at)
    return {
      seq: first?.firstSeq,
      points: first?.pointsBefore,
      frames: intactFrames(folder, number, from, to),
    }
  } finally {
    file.close()
  }
}

/** Damaged ones are left out: readers see by the sequence numbers that they are gone. */
function* intactFrames(folder: string, number: number, from: number, to: number): Generator<Uint8Array> {
  const file = new SegmentFile(folder, number)
  try {
    for (let at = file.search(from, to); at >= 0; ) {
      const header = file.header(at)!
      const next = nextFrame(at, header)
      if (next > to) return
      if (typeof file.payload(at, header) !== 'string') {
        const frame = new Uint8Array(next - at)
        if (frame.length < FRAME_HEADER_BYTES || !file.copy(at, frame)) return
        yield frame
      }
      at = file.search(next, to)
    }
  } finally {
    file.close()
  }
}
