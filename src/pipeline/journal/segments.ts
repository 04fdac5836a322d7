/** The segments of a run as a reader follows them: where to begin, which comes next, where each ends. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Series } from '../../core/types.ts'
import { Arrangement, findStart, type SegmentPlace } from './arrange.ts'
import { FRAME, type FrameHeader, KEPT_SEALS, segmentName } from './format.ts'
import { decodeSegment, decodeSeries } from './records.ts'
import { checkVersion, frameAfter } from './scan.ts'
import { listSegments, nextFrame, SegmentFile, unlessRemoved } from './segment-file.ts'

/** A sequence number, and how many of those below it are points. */
export type JournalPlace = Pick<FrameHeader, 'firstSeq' | 'pointsBefore'>

/** How far a segment's bytes count. */
export interface SegmentEnd {
  /** All bytes up to here do. */
  readonly sealBytes: number
  /**
   * First number of the next segment, where that says it. Beyond the seal, where bytes that came in between have
   * pushed them, frames of numbers below it count too.
   */
  readonly nextSeq: number | undefined
}

export class Segments {
  readonly folder: string
  readonly #arrangement: Arrangement
  /** Segment number → bytes of it that count, as later segments say (J6). */
  readonly #seals = new Map<number, number>()

  /** @param runId segments of another run are passed over */
  constructor(folder: string, runId?: string) {
    this.folder = folder
    this.#arrangement = new Arrangement(folder, runId)
  }

  /**
   * Where reading from `seq` begins: the last segment that begins before it, so that session starts at `seq` are
   * met, else the first. `first`: where the journal begins, when segments were removed.
   */
  find(seq: number): { file: SegmentFile; first: JournalPlace | undefined } | undefined {
    const places = this.#arrangement.list()
    let best = 0
    for (let low = 0, high = places.length - 1; low <= high; ) {
      const middle = (low + high) >> 1
      let at = middle
      let first: number | undefined
      while (at >= low) {
        first = this.#start(places[at]!)?.firstSeq
        if (first !== undefined) break
        at--
      }
      if (first === undefined) low = middle + 1
      else if (first < seq) {
        best = at
        low = middle + 1
      } else high = at - 1
    }
    let isFirst = best === 0
    for (const place of places.slice(best)) {
      const first = isFirst && place.number > 1 ? this.#start(place) : undefined
      const file = this.#open(place)
      if (file !== undefined) return { file, first }
      // it was removed since it was listed, with all before it
      isFirst = true
    }
    return undefined
  }

  /** Undefined while no later segment has frames: it may grow. */
  endOf(file: SegmentFile): SegmentEnd | undefined {
    let next: FrameHeader | undefined
    // a later one may say less than an earlier one: what followed a failed sync was written again
    for (const place of this.#after(file.number).slice(0, KEPT_SEALS)) {
      const start = this.#readStart(place, [])
      next ??= start
    }
    const sealBytes = this.#seals.get(file.number)
    if (sealBytes !== undefined) return { sealBytes, nextSeq: sealBytes === 0 ? 0 : ownStart(next) }
    return next === undefined ? undefined : { sealBytes: file.sizeBytes, nextSeq: ownStart(next) }
  }

  /** Cheap answer to whether `endOf` may have changed its mind: the next may have been removed with this one. */
  hasNext(number: number): boolean {
    if (this.has(number + 1)) return true
    if (this.has(number)) return false
    return unlessRemoved(() => listSegments(this.folder))?.some((other) => other > number) ?? false
  }

  has(number: number): boolean {
    return existsSync(join(this.folder, segmentName(number)))
  }

  /** The next segment that has frames. */
  openNext(number: number): SegmentFile | undefined {
    for (const next of this.#after(number)) {
      const file = this.#readStart(next, []) && this.#open(next)
      if (file !== undefined) return file
    }
    return undefined
  }

  /** Series that the segment defines anywhere, and that later segments begin with. */
  seriesFrom({ number, path }: SegmentFile): Series[] {
    const series: Series[] = []
    const file = this.#open({ number, path })
    try {
      if (file !== undefined) series.push(...seriesIn(file))
    } finally {
      file?.close()
    }
    for (const next of this.#after(number)) this.#readStart(next, series)
    return series
  }

  #after(number: number): SegmentPlace[] {
    return this.#arrangement.list().filter((other) => other.number > number)
  }

  #open({ number, path }: SegmentPlace): SegmentFile | undefined {
    return unlessRemoved(() => new SegmentFile(this.folder, number, path))
  }

  #start(place: SegmentPlace): JournalPlace | undefined {
    const file = this.#open(place)
    if (file === undefined) return undefined
    try {
      const at = findStart(file)
      return at < 0 ? undefined : file.header(at)
    } finally {
      file.close()
    }
  }

  /** Reads the frames that a segment begins with; the first of them, undefined when it has none yet. */
  #readStart(place: SegmentPlace, series: Series[]): FrameHeader | undefined {
    const file = this.#open(place)
    if (file === undefined) return undefined
    try {
      let at = findStart(file)
      if (at < 0) return undefined
      const first = file.header(at)
      for (let header = file.header(at); header; header = file.header(at)) {
        checkVersion(this.folder, place.number, header)
        if (header.type !== FRAME.segment && header.type !== FRAME.series) break
        const payload = file.payload(at, header)
        at = nextFrame(at, header)
        if (typeof payload === 'string') continue
        if (header.type === FRAME.series) series.push(...(decodeSeries(payload) ?? []))
        else {
          for (const [sealed, bytes] of decodeSegment(payload)?.seals ?? []) this.#seals.set(sealed, bytes)
        }
      }
      return first
    } finally {
      file.close()
    }
  }
}

function* seriesIn(file: SegmentFile): Generator<Series> {
  findStart(file)
  for (let at = file.search(0, Infinity); at >= 0; at = frameAfter(file, at, Infinity)) {
    const header = file.header(at)!
    if (header.type !== FRAME.series) continue
    const payload = file.payload(at, header)
    if (typeof payload !== 'string') yield* decodeSeries(payload) ?? []
  }
}

function ownStart(header: FrameHeader | undefined): number | undefined {
  return header?.type === FRAME.segment ? header.firstSeq : undefined
}
