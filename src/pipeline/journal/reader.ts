/**
 * Reads a run's journal forward, while it is written or at rest; format.ts tells what it may meet (J1 …).
 * It goes by the numbers: whatever is missing before the next intact frame is one 'corrupt' entry, or a 'gone' one
 * where retention removed it.
 */
import type { JournalEntry, JournalReader, Series, SeriesId } from '../../core/types.ts'
import { findStart } from './arrange.ts'
import { FRAME, FRAME_HEADER_BYTES, type FrameHeader, frameBytes, isPoints } from './format.ts'
import { FrameOrder } from './order.ts'
import { readPoints } from './points.ts'
import type { CarriedCounts, OpenJournalOptions, RecordsEntry, RecordsReader } from './reading.ts'
import { decodeRecord, decodeSeries } from './records.ts'
import { checkVersion } from './scan.ts'
import { nextFrame, type SegmentFile } from './segment-file.ts'
import { Segments } from './segments.ts'

export type { CarriedCounts, OpenJournalOptions, RecordsEntry, RecordsReader } from './reading.ts'

/**
 * @param folder the run's folder
 * @throws TraceletError ERR_JOURNAL_FORMAT for a newer format (also from `next()`)
 */
export function openJournal(folder: string, options: OpenJournalOptions): JournalFileReader {
  return new JournalFileReader(folder, options)
}

/** Reads records only: of frames of points no more than the header, which damage within them goes unnoticed by. */
export function openRecords(folder: string, options: OpenJournalOptions): RecordsReader {
  const reader = new FrameReader(folder, options, true)
  return {
    get seq() {
      return reader.seq
    },
    // without payloads there are no points
    next: () => reader.read() as RecordsEntry | undefined,
    close: () => reader.close(),
  }
}

type Entry = JournalEntry | RecordsEntry

/** Goes from frame to frame. */
class FrameReader {
  readonly carried: CarriedCounts = { coalesced: 0, lost: 0, lostRecords: 0 }

  readonly #segments: Segments
  readonly #isLive: boolean
  readonly #skipsPoints: boolean
  readonly #limitSeq: () => number
  readonly #series: (Series | undefined)[] = []
  /** Every series below it is known. */
  #knownSeries = 0
  #hasLookedAhead = false

  #file: SegmentFile | undefined
  #position = 0
  /** Where its search ends; Infinity while it may grow. */
  #end = 0
  /** Beyond so many bytes frames of `#nextSeq` and later do not count (J6). */
  #sealBytes = Infinity
  #nextSeq: number | undefined
  /** Where to look for the next frame when there is none at #position: bytes may be missing before it. */
  #searchFrom = 0
  #order: FrameOrder | undefined
  /** Payload of the frame at #position, when it was looked at already. */
  #payload: Uint8Array | 'short' | 'damaged' | undefined

  #seq: number
  #session = 0
  /** End of an intact header at or before #seq, and how many points are before it; -1 while none was met. */
  #knownSeq: number
  #knownPoints: number
  /** Segments before the present one were removed while this reader was at them, or before it came. */
  #isAfterRemoved = false
  /** Sequence numbers below it belong to a frame that this version does not know. */
  #unknownTo = 0

  constructor(folder: string, options: OpenJournalOptions, skipsPoints: boolean) {
    this.#skipsPoints = skipsPoints
    this.#segments = new Segments(folder, options.runId)
    this.#isLive = options.live
    this.#limitSeq = options.limitSeq ?? (() => Infinity)
    this.#seq = options.fromSeq ?? 0
    const pointsBelow = this.#seq === 0 ? 0 : options.pointsBelow
    this.#knownSeq = pointsBelow === undefined ? -1 : this.#seq
    this.#knownPoints = pointsBelow ?? 0
    this.#begin()
  }

  get seq(): number {
    return this.#seq
  }

  /** @throws TypeError for an id that no entry so far has named */
  series(id: SeriesId): Series {
    const series = this.#series[id]
    if (!series) throw new TypeError(`no point below sequence number ${this.#seq} names a series ${id}`)
    return series
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
  }

  read(): Entry | undefined {
    if (this.#file === undefined && !this.#begin()) return undefined
    const limit = this.#limitSeq()
    // After the limit: what a new segment had published by then must not be sought in this one, where a writer
    // that was taken for dead may have put the same numbers.
    this.#lookForSeal()
    for (;;) {
      if (this.#seq < this.#unknownTo) return this.#tellUnknown()
      const header = this.#findFrame(limit)
      if (header === undefined) return undefined
      if (header.firstSeq > this.#seq) return this.#tellGap(header)
      // nothing is missing before it: what is missing later was not removed
      if (header.count > 0) this.#isAfterRemoved = false
      if (this.#isNewSession(header)) return { kind: 'session', seq: this.#seq, session: this.#session }
      const entry = this.#readFrame(header)
      if (entry !== undefined) return entry
    }
  }

  /** Opens the segment to begin with; false while there is none. */
  #begin(): boolean {
    const found = this.#segments.find(this.#seq)
    if (found === undefined) return false
    this.#isAfterRemoved = found.first !== undefined && found.first.firstSeq > this.#seq
    this.#enter(found.file)
    return true
  }

  #enter(file: SegmentFile): void {
    this.#file?.close()
    this.#file = file
    this.#position = 0
    this.#searchFrom = 0
    this.#order = undefined
    this.#hasLookedAhead = false
    findStart(file)
    this.#findEnd(file)
  }

  #findEnd(file: SegmentFile): void {
    const end = this.#segments.endOf(file)
    this.#end = end === undefined && this.#isLive ? Infinity : file.sizeBytes
    this.#sealBytes = end?.sealBytes ?? Infinity
    this.#nextSeq = end?.nextSeq
  }

  #lookForSeal(): void {
    if (this.#end === Infinity && this.#segments.hasNext(this.#file!.number)) this.#findEnd(this.#file!)
  }

  /** Moves to the next frame that is to be read; undefined when there is none (yet). */
  #findFrame(limit: number): FrameHeader | undefined {
    let isFresh = false
    this.#payload = undefined
    for (;;) {
      const file = this.#file!
      const header = this.#position < this.#end ? file.header(this.#position) : undefined
      if (header && this.#counts(header)) {
        checkVersion(this.#segments.folder, file.number, header)
        file.stamp ??= header.stamp
        if (this.#isOld(header)) {
          this.#skip(header)
          isFresh = false
          continue
        }
        if (this.#isLive && header.firstSeq + header.count > limit) return this.#wait()
        if (this.#end !== Infinity) {
          if (!this.#isEarly(header)) return header
          this.#moveOver(header, false)
          continue
        }
        if (this.#isPassed(header) || this.#isWritten(header, isFresh)) return header
      }
      if (header) this.#searchFrom = this.#position + 1
      if (this.#end !== Infinity) {
        if (!this.#passDamage(file, this.#end) && !this.#follow()) return undefined
        continue
      }
      if (!isFresh) {
        // What was read ahead may be older than what is there now, and the segment may have been ended since.
        isFresh = true
        file.forget()
        this.#lookForSeal()
        continue
      }
      // Below the limit all was written: what cannot be read is damaged.
      if (this.#seq >= limit || !this.#passDamage(file, Infinity)) return this.#wait()
      isFresh = false
    }
  }

  /** Whether the frame is all there, and within the segment (J6). */
  #counts({ firstSeq, count, payloadBytes }: FrameHeader): boolean {
    const end = this.#position + frameBytes(payloadBytes)
    if (end > this.#end) return false
    if (end <= this.#sealBytes) return true
    const nextSeq = this.#nextSeq ?? 0
    return count > 0 ? firstSeq + count <= nextSeq : firstSeq < nextSeq
  }

  /** Whether what comes before the frame stands after it. */
  #isEarly(header: FrameHeader): boolean {
    if (header.firstSeq <= this.#seq) return false
    if (header.firstSeq >= (this.#nextSeq ?? Infinity)) return true
    this.#order ??= new FrameOrder(this.#file!, this.#end)
    return this.#order.isEarly(this.#position, header, this.#seq)
  }

  /** @param isWhole its payload was read and holds: then nothing is missing before the next frame */
  #moveOver(header: FrameHeader, isWhole: boolean): void {
    const next = nextFrame(this.#position, header)
    this.#searchFrom = isWhole ? next : this.#position + FRAME_HEADER_BYTES
    this.#position = next
  }

  /** Whether nothing but the header is read. In a growing segment the whole frame must be there. */
  #isPassed(header: FrameHeader): boolean {
    if (!this.#skipsPoints || !isPoints(header.type)) return false
    return this.#end !== Infinity || nextFrame(this.#position, header) <= this.#file!.sizeBytes
  }

  /** Whether a frame of a growing segment can be taken: not while it is just being appended. */
  #isWritten(header: FrameHeader, isFresh: boolean): boolean {
    const payload = this.#file!.payload(this.#position, header)
    this.#payload = payload
    return payload !== 'short' && (payload !== 'damaged' || (isFresh && header.count > 0))
  }

  /** Goes on to the next intact header; false when there is none before `end`. */
  #passDamage(file: SegmentFile, end: number): boolean {
    const at = this.#searchFrom < end ? file.search(this.#searchFrom, end) : -1
    if (at >= 0) this.#position = at
    else if (end !== Infinity) this.#position = this.#searchFrom = end
    return at >= 0
  }

  #follow(): boolean {
    const { number } = this.#file!
    const next = this.#segments.openNext(number)
    if (next === undefined) return false
    // Retention takes the oldest first: one that is missing after one that is there is damage.
    this.#isAfterRemoved ||= next.number > number + 1 && !this.#segments.has(number)
    this.#enter(next)
    return true
  }

  #wait(): undefined {
    this.#file!.forget()
    return undefined
  }

  /** Whether the frame has nothing that has not been read, or been left out by beginning later. */
  #isOld(header: FrameHeader): boolean {
    if (header.count > 0) return header.firstSeq + header.count <= this.#seq
    return header.firstSeq < this.#seq && header.type !== FRAME.segment && header.type !== FRAME.series
  }

  #skip(header: FrameHeader): void {
    this.#session = Math.max(this.#session, header.session)
    const end = header.firstSeq + header.count
    if (end <= this.#seq && end >= this.#knownSeq) this.#know(end, header)
    this.#moveOver(header, false)
  }

  #know(seq: number, header: FrameHeader): void {
    this.#knownSeq = seq
    this.#knownPoints = header.pointsBefore + (isPoints(header.type) ? seq - header.firstSeq : 0)
  }

  #isNewSession(header: FrameHeader): boolean {
    if (header.session <= this.#session) return false
    this.#session = header.session
    return header.firstSeq === this.#seq
  }

  #readFrame(header: FrameHeader): Entry | undefined {
    if (this.#skipsPoints && isPoints(header.type)) return this.#passPoints(header)
    const { type, firstSeq, count } = header
    const payload = this.#payload ?? this.#file!.payload(this.#position, header)
    const entry = typeof payload === 'string' ? undefined : this.#entry(header, payload)
    this.#moveOver(header, typeof payload !== 'string')
    if (count === 0) {
      if (firstSeq >= this.#knownSeq && firstSeq <= this.#seq) this.#know(firstSeq, header)
      return entry
    }
    const from = this.#seq
    const end = firstSeq + count
    this.#know(end, header)
    if (type !== FRAME.points && type !== FRAME.record) {
      this.#unknownTo = end
      return undefined
    }
    this.#seq = end
    if (entry !== undefined) return entry
    const points = isPoints(type) ? end - from : 0
    return { kind: 'corrupt', seq: from, points, records: end - from - points }
  }

  #passPoints(header: FrameHeader): RecordsEntry | undefined {
    const { firstSeq, count } = header
    const seq = this.#seq
    this.#moveOver(header, false)
    this.#know(firstSeq + count, header)
    this.#seq = firstSeq + count
    return count === 0 ? undefined : { kind: 'skipped', seq, points: this.#seq - seq }
  }

  /** What an intact payload says to the caller; undefined also when it is not what the header promised. */
  #entry(header: FrameHeader, payload: Uint8Array): Entry | undefined {
    if (header.type === FRAME.points) return this.#pointsEntry(header, payload)
    if (header.type === FRAME.record) {
      const record = decodeRecord(payload)
      return record && header.count === 1 ? { kind: 'record', seq: header.firstSeq, record } : undefined
    }
    if (header.type === FRAME.series) this.#define(decodeSeries(payload) ?? [])
    return undefined
  }

  #pointsEntry(header: FrameHeader, payload: Uint8Array): Entry | undefined {
    const { count, nextSeries, session } = header
    const skip = count === 0 ? 0 : this.#seq - header.firstSeq
    const read = readPoints(payload, count, skip, nextSeries)
    if (!read || !this.#areKnown(read.points.series, read.highestSeries)) return undefined
    this.carried.coalesced += read.coalesced
    this.carried.lost += read.lost
    this.carried.lostRecords += read.lostRecords
    return {
      kind: 'points',
      seq: this.#seq,
      points: read.points,
      row: read.row,
      closed: read.closed,
      session,
    }
  }

  #define(series: readonly Series[]): void {
    for (const one of series) this.#series[one.id] ??= one
    while (this.#series[this.#knownSeries] !== undefined) this.#knownSeries++
  }

  /** Both frames that defined a series may be damaged: later segments define it again. Or they come too late. */
  #areKnown(ids: Uint32Array, highest: number): boolean {
    if (highest < this.#knownSeries) return true
    if (!this.#hasLookedAhead) {
      this.#hasLookedAhead = true
      this.#define(this.#segments.seriesFrom(this.#file!))
    }
    return ids.every((id) => this.#series[id] !== undefined)
  }

  /** Everything from #seq to the frame at #position is missing. */
  #tellGap(header: FrameHeader): Entry {
    const seq = this.#seq
    const lost = header.firstSeq - seq
    // What was lost before #seq, where reading began, is taken for points: only they share a frame.
    const points =
      this.#knownSeq < 0
        ? header.pointsBefore
        : header.pointsBefore - this.#knownPoints - (seq - this.#knownSeq)
    const lostPoints = Math.min(Math.max(points, 0), lost)
    this.#seq = header.firstSeq
    this.#knownSeq = header.firstSeq
    this.#knownPoints = header.pointsBefore
    const kind = this.#isAfterRemoved ? 'gone' : 'corrupt'
    this.#isAfterRemoved = false
    return { kind, seq, points: lostPoints, records: lost - lostPoints }
  }

  #tellUnknown(): Entry {
    return { kind: 'record', seq: this.#seq++, record: { kind: 'unknown' } }
  }
}

/** Entries and their columns are the caller's to keep. */
export class JournalFileReader extends FrameReader implements JournalReader {
  constructor(folder: string, options: OpenJournalOptions) {
    super(folder, options, false)
  }

  next(): JournalEntry | undefined {
    return this.read() as JournalEntry | undefined
  }
}
