/** The segments of a run as a reader follows them: where to begin, which comes next, where each ends. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Series } from '../../core/types.ts'
import { FRAME, type FrameHeader, segmentName } from './format.ts'
import { decodeSegment, decodeSeries } from './records.ts'
import { checkVersion } from './scan.ts'
import { listSegments, nextFrame, SegmentFile } from './segment-file.ts'

/** A sequence number, and how many of those below it are points. */
export type JournalStart = Pick<FrameHeader, 'firstSeq' | 'pointsBefore'>

export class Segments {
  readonly folder: string
  /** Segment number → bytes of it that count, as later segments say (J6). */
  readonly #seals = new Map<number, number>()

  constructor(folder: string) {
    this.folder = folder
  }

  /**
   * Where reading from `seq` begins: the last segment that begins before it, so that session starts at `seq` are
   * met, else the first. `first`: where the journal begins, when segments were removed.
   */
  find(seq: number): { number: number; first: JournalStart | undefined } | undefined {
    const numbers = listSegments(this.folder)
    let best = 0
    for (let low = 0, high = numbers.length - 1; low <= high; ) {
      const middle = (low + high) >> 1
      let at = middle
      let first: number | undefined
      while (at >= low) {
        first = this.#start(numbers[at]!)?.firstSeq
        if (first !== undefined) break
        at--
      }
      if (first === undefined) low = middle + 1
      else if (first < seq) {
        best = at
        low = middle + 1
      } else high = at - 1
    }
    const number = numbers[best]
    if (number === undefined) return undefined
    return { number, first: best === 0 && number > 1 ? this.#start(number) : undefined }
  }

  /** How many bytes of the segment count; undefined while no later one has frames: it may grow. */
  endOf(file: SegmentFile): number | undefined {
    let isFollowed = false
    for (const number of this.#after(file.number)) {
      isFollowed = this.#readStart(number, []) || isFollowed
      const seal = this.#seals.get(file.number)
      if (seal !== undefined) return seal
    }
    return isFollowed ? file.sizeBytes : undefined
  }

  /** Cheap answer to whether `endOf` may have changed its mind. */
  hasNext(number: number): boolean {
    return this.has(number + 1)
  }

  has(number: number): boolean {
    return existsSync(join(this.folder, segmentName(number)))
  }

  /** The next segment that has frames. */
  openNext(number: number): SegmentFile | undefined {
    for (const next of this.#after(number)) {
      if (this.#readStart(next, [])) return new SegmentFile(this.folder, next)
    }
    return undefined
  }

  /** Series that later segments begin with. */
  seriesAfter(number: number): Series[] {
    const series: Series[] = []
    for (const next of this.#after(number)) this.#readStart(next, series)
    return series
  }

  #after(number: number): number[] {
    return listSegments(this.folder).filter((other) => other > number)
  }

  #start(number: number): JournalStart | undefined {
    const file = new SegmentFile(this.folder, number)
    try {
      const at = file.search(0, Infinity)
      return at < 0 ? undefined : file.header(at)
    } finally {
      file.close()
    }
  }

  /** Reads the frames that a segment begins with; false when it has none yet. */
  #readStart(number: number, series: Series[]): boolean {
    const file = new SegmentFile(this.folder, number)
    try {
      let at = file.search(0, Infinity)
      if (at < 0) return false
      for (let header = file.header(at); header; header = file.header(at)) {
        checkVersion(this.folder, number, header)
        if (header.type !== FRAME.segment && header.type !== FRAME.series) break
        const payload = file.payload(at, header)
        at = nextFrame(at, header)
        if (typeof payload === 'string') continue
        if (header.type === FRAME.series) series.push(...(decodeSeries(payload) ?? []))
        else {
          for (const [sealed, bytes] of decodeSegment(payload)?.seals ?? []) this.#seals.set(sealed, bytes)
        }
      }
      return true
    } finally {
      file.close()
    }
  }
}
