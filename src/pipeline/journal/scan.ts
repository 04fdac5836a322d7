/** What a writer must know of the journal it continues, from its headers and series definitions alone. */
import { TraceletError } from '../../core/errors.ts'
import type { Series } from '../../core/types.ts'
import { Arrangement, findStart } from './arrange.ts'
import {
  FORMAT_VERSION,
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  isPoints,
  NO_LANE,
  segmentName,
} from './format.ts'
import { decodeSegment, decodeSeries, type SegmentStart } from './records.ts'
import { listSegments, nextFrame, SegmentFile, unlessRemoved } from './segment-file.ts'

export interface JournalEnd {
  /** Highest number of a segment, readable or not, and of a file. */
  readonly lastNumber: number
  /** Next sequence number, and how many below it are points. */
  readonly seq: number
  readonly points: number
  readonly nextRow: number
  readonly nextSeries: number
  readonly session: number
  /** All that could be found, below nextSeries. */
  readonly series: ReadonlyMap<number, Series>
  /** Positions of the lanes of the process with that stamp. */
  readonly lanes: ReadonlyMap<number, number>
  /** Segment number → its bytes that count, for the latest segments, the last one included. */
  readonly seals: ReadonlyMap<number, number>
  /** The latest readable SEGMENT frame of the process with that stamp. */
  readonly start: SegmentStart | undefined
}

/**
 * @param stamp of the process that continues; what others said of their lanes is not taken
 * @param runId segments of another run are passed over; default: none is
 */
export function scanJournal(folder: string, stamp: number, runId?: string): JournalEnd {
  const files = listSegments(folder)
  const places = new Arrangement(folder, runId).list()
  const series = new Map<number, Series>()
  const lanes = new Map<number, number>()
  const seals = new Map<number, number>()
  let nextSeries = 0
  let end: FrameHeader | undefined
  let isEndSure = false
  let start: SegmentStart | undefined
  for (const { number, path } of places.reverse()) {
    const file = unlessRemoved(() => new SegmentFile(folder, number, path))
    if (file === undefined) continue
    const segment = scanSegment(file, folder, seals.get(number) ?? Infinity)
    if (!seals.has(number)) seals.set(number, segment.goodBytes)
    for (const [sealed, bytes] of segment.start?.seals ?? []) if (!seals.has(sealed)) seals.set(sealed, bytes)
    nextSeries = Math.max(nextSeries, segment.nextSeries)
    for (const one of segment.series) if (!series.has(one.id)) series.set(one.id, one)
    const isOurs = segment.last?.stamp === stamp
    if (isOurs) {
      start ??= segment.start
      for (const positions of [segment.lanes, segment.start?.lanes ?? []]) {
        for (const [lane, position] of positions) {
          if (position > (lanes.get(lane) ?? 0)) lanes.set(lane, position)
        }
      }
    }
    // One that does not say which it is may be a copy of an older one: its numbers are not the last then.
    if (!isEndSure) end = laterOf(end, segment.last)
    isEndSure ||= segment.start?.number === number && segment.last !== undefined
    if (isEndSure && series.size >= nextSeries && (!isOurs || start !== undefined)) break
  }
  return {
    lastNumber: Math.max(0, files.at(-1) ?? 0, places[0]?.number ?? 0),
    seq: end ? end.firstSeq + end.count : 0,
    points: end ? end.pointsBefore + (isPoints(end.type) ? end.count : 0) : 0,
    nextRow: end?.nextRow ?? 0,
    nextSeries,
    session: end?.session ?? 0,
    series,
    lanes,
    seals,
    start,
  }
}

interface SegmentScan {
  readonly start: SegmentStart | undefined
  readonly last: FrameHeader | undefined
  readonly series: readonly Series[]
  readonly lanes: ReadonlyMap<number, number>
  /** The highest of all its frames: a segment begins with what frames staged before it did not know. */
  readonly nextSeries: number
  /** End of its last whole frame. */
  readonly goodBytes: number
}

/** Closes the file. */
function scanSegment(file: SegmentFile, folder: string, seal: number): SegmentScan {
  try {
    const end = Math.min(seal, file.sizeBytes)
    const series: Series[] = []
    const lanes = new Map<number, number>()
    let start: SegmentStart | undefined
    let last: FrameHeader | undefined
    let nextSeries = 0
    let goodBytes = 0
    findStart(file)
    for (let at = file.search(0, end); at >= 0; at = frameAfter(file, at, end)) {
      const header = file.header(at)!
      checkVersion(folder, file.number, header)
      if (nextFrame(at, header) > end) break
      goodBytes = nextFrame(at, header)
      last = laterOf(last, header)
      nextSeries = Math.max(nextSeries, header.nextSeries)
      if (header.lane !== NO_LANE) lanes.set(header.lane, header.position)
      if (header.type !== FRAME.segment && header.type !== FRAME.series) continue
      const payload = file.payload(at, header)
      if (typeof payload === 'string') continue
      if (header.type === FRAME.segment) start ??= decodeSegment(payload)
      else series.push(...(decodeSeries(payload) ?? []))
    }
    return { start, last, series, lanes, nextSeries, goodBytes }
  } finally {
    file.close()
  }
}

/** Of two that end at the same number the second: it was written later. */
function laterOf(one: FrameHeader | undefined, other: FrameHeader | undefined): FrameHeader | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return other.firstSeq + other.count >= one.firstSeq + one.count ? other : one
}

/** Where the next intact header stands: within this frame, if bytes of it are gone; -1 if nowhere. */
export function frameAfter(file: SegmentFile, at: number, end: number): number {
  const next = nextFrame(at, file.header(at)!)
  if (next >= end || file.header(next) !== undefined) return next >= end ? -1 : next
  return file.search(at + FRAME_HEADER_BYTES, end)
}

export function checkVersion(folder: string, number: number, header: FrameHeader): void {
  if (header.type !== FRAME.segment || header.version <= FORMAT_VERSION) return
  throw new TraceletError(
    'ERR_JOURNAL_FORMAT',
    `${folder}/${segmentName(number)} has format version ${header.version}, this tracelet reads up to ${FORMAT_VERSION}: use a newer tracelet`,
  )
}
