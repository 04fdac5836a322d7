/**
 * Appends one run's points and records to its journal: frames are staged, then committed by one write.
 * format.ts tells what is written and why (J1 …). Synchronous; lives in the drain thread.
 */
import { monotonicNow } from '../../core/clock.ts'
import { TraceletError } from '../../core/errors.ts'
import type { RunRecord, SeriesId } from '../../core/types.ts'
import type { StagedPoints } from '../coalesce.ts'
import { FORMAT_VERSION, FRAME, NO_LANE, stampOf } from './format.ts'
import { decodeRecord, encodeRecord, encodeSeries } from './records.ts'
import { type JournalEnd, scanJournal } from './scan.ts'
import { SegmentChain } from './segment-chain.ts'
import { layStart } from './segment-start.ts'
import type { JournalPlace } from './segments.ts'
import { SeriesTable } from './series-table.ts'
import { type FramePlace, NO_POINTS, StagedFrames } from './staged-frames.ts'
import type { JournalSyncId, JournalWriterOptions } from './writer-options.ts'

export const SEGMENT_BYTES: number = 64 * 1024 * 1024
/** Pause after a failed commit, doubled by each further one: a disk that is full for an hour must cost nothing. */
const FIRST_RETRY_MS = 20
const MAX_RETRY_MS = 1000

export type { JournalSyncId, JournalWriterOptions } from './writer-options.ts'

export class JournalWriter {
  /** Position below which each of this process's lanes is in the journal. A restarted drain skips slots below it. */
  readonly lanePositions: Map<number, number>
  readonly session: number

  readonly #options: JournalWriterOptions
  readonly #stamp: number
  readonly #series: SeriesTable
  readonly #chain: SegmentChain
  /** Where this process took over. */
  readonly #processSeq: number
  readonly #processPoints: number
  #seq: number
  #points: number
  #nextRow: number
  readonly #staged = new StagedFrames()
  /** For the next POINTS frame. */
  #coalesced = 0
  #lost = 0
  #lostRecords = 0
  #isClosed = false
  /** Of the last commit, if it failed. */
  #failure: TraceletError | undefined
  #retryAt = 0
  #retryMs = FIRST_RETRY_MS

  private constructor(options: JournalWriterOptions) {
    this.#options = options
    this.#stamp = stampOf(options.runId, options.nonce)
    const end = this.#scan()
    const start = options.session === 'drain' ? end.start : undefined
    const floor = options.floor ?? { seq: 0, points: 0 }
    this.#seq = Math.max(end.seq, floor.seq)
    this.#points = Math.min(Math.max(end.points, floor.points), end.points + this.#seq - end.seq)
    this.#processSeq = start?.processSeq ?? this.#seq
    this.#processPoints = start?.processPoints ?? this.#points
    this.#nextRow = end.nextRow
    this.#series = new SeriesTable(end.series.values(), end.nextSeries)
    this.session = end.session + 1
    this.lanePositions = new Map(options.session === 'drain' ? end.lanes : [])
    this.#chain = this.#trying(() => {
      const chain = this.#openChain(end)
      chain.begin(this.#end)
      return chain
    })
  }

  /**
   * Takes the run's journal over, whatever state it was left in, and begins a session. The caller holds the run's
   * `writer` guard. Throws ERR_JOURNAL_FORMAT for a newer format, ERR_JOURNAL_WRITE when nothing can be written.
   */
  static open(options: JournalWriterOptions): JournalWriter {
    return new JournalWriter(options)
  }

  /** The sequence number after the last one committed. */
  get seq(): number {
    return this.#seq
  }
  /** What the journal held when this process took over. */
  get pointsBefore(): number {
    return this.#processPoints
  }
  get recordsBefore(): number {
    return this.#processSeq - this.#processPoints
  }
  /** What this process has journaled, in all its sessions. */
  get sessionPoints(): number {
    return this.#points - this.#processPoints
  }
  get sessionRecords(): number {
    return this.#seq - this.#processSeq - this.sessionPoints
  }
  /** Bytes staged and not yet committed. */
  get stagedBytes(): number {
    return this.#staged.bytes
  }
  get stagedPoints(): number {
    return this.#staged.points
  }
  get stagedRecords(): number {
    return this.#staged.records
  }
  /** Of the segment being written: its number, path, descriptor and length. */
  get segment(): number {
    return this.#chain.number
  }
  get path(): string {
    return this.#chain.path
  }
  get fd(): number {
    return this.#chain.fd
  }
  get committedBytes(): number {
    return this.#chain.committedBytes
  }
  /** Of all segments of the run, with those of earlier processes. */
  get journalBytes(): number {
    return this.#chain.totalBytes
  }
  /** Whether a sync has failed, or is still to come, for more than the segment that is written. */
  get isUnsafe(): boolean {
    return this.#chain.isUnsafe || this.#chain.hasUnsynced
  }
  /** Whether another writer has gone on with this journal. */
  get isTakenOver(): boolean {
    return this.#chain.isTakenOver
  }

  /** A new row's number: serial within the run, modulo 2^32. */
  takeRow(): number {
    const row = this.#nextRow
    this.#nextRow = (row + 1) >>> 0
    return row
  }

  /** The number of a series; the journal defines it ahead of the next frame. */
  series(name: string, context: string): SeriesId {
    return this.#series.id(name, context)
  }

  /**
   * One frame of points, at most 64 MiB: better ≤ 256 KiB, since damage costs whole frames.
   * `position`: after this frame every slot of `lane` below it that belongs to this run is in the journal.
   */
  stagePoints(block: StagedPoints, lane: number = NO_LANE, position = 0): void {
    this.#stageSeries()
    const counts = {
      coalesced: this.#coalesced + block.coalesced,
      lost: this.#lost,
      lostRecords: this.#lostRecords,
    }
    this.#staged.addPoints(block, counts, this.#place(lane, position))
    this.#coalesced = 0
    this.#lost = 0
    this.#lostRecords = 0
  }

  /** @param record or its bytes as made by `encodeRecord` */
  stageRecord(record: RunRecord | Uint8Array, lane: number = NO_LANE, position = 0): void {
    const bytes = record instanceof Uint8Array ? record : encodeRecord(record)
    if (record instanceof Uint8Array && decodeRecord(record) === undefined) {
      throw new TypeError('not a record as encodeRecord makes it')
    }
    this.#staged.addRecord(bytes, this.#place(lane, position))
  }

  /**
   * Points and records of this run that will never be journaled, for want of disk: the journal keeps the sum.
   * Those of a failed commit are counted by themselves.
   */
  countLost(points: number, records: number): void {
    this.#lost += points
    this.#lostRecords += records
  }

  /**
   * Appends everything staged with one write. Throws ERR_JOURNAL_WRITE when that fails: what was staged is then
   * lost, and nothing of it will be read. After a failure the disk is left alone for up to a second, and what comes
   * meanwhile is lost.
   * @param now monotonic ms
   * @param mustTry however short ago it failed
   */
  commit(now: number = monotonicNow(), mustTry = false): void {
    if (this.#staged.stretches.length === 0) return
    try {
      if (this.#failure !== undefined && now < this.#retryAt && !mustTry) throw this.#failure
      const { memory, stretches, bytes } = this.#staged
      this.#following(() => this.#chain.append({ memory, stretches, bytes }, this.#end, now))
    } catch (error) {
      this.#forgetStaged(false)
      throw this.#failed(this.#writeError(error), now)
    }
    this.#failure = undefined
    this.#retryMs = FIRST_RETRY_MS
    this.#seq += this.#staged.points + this.#staged.records
    this.#points += this.#staged.points
    for (const [lane, position] of this.#staged.lanes) this.lanePositions.set(lane, position)
    this.#forgetStaged(true)
  }

  /**
   * Takes in what the sync thread reported for this writer's id. Throws ERR_JOURNAL_WRITE when what a failed sync may
   * have lost cannot be written again: that is tried with every commit from then on, before anything else.
   */
  handleSync({
    id,
    syncedBytes,
    failure,
  }: {
    id: JournalSyncId
    syncedBytes: number
    failure: string
  }): void {
    const { segment } = this
    this.#following(() => this.#chain.handleSync(id.segment, syncedBytes, failure === '', this.#end))
    if (this.#isClosed && this.segment !== segment) this.#chain.release()
  }

  /**
   * Looks whether the segment is where it was made, and puts it back if somebody has deleted it. What waits to be
   * written again is, when it is time.
   * @returns whether it had to be put back
   * @throws TraceletError ERR_JOURNAL_WRITE when that fails
   */
  putBack(): boolean {
    if (this.#isClosed) return false
    if (this.#chain.isThere) {
      this.#following(() => this.#chain.writeAgain(this.#end))
      return false
    }
    this.#options.onMissingFolder?.()
    this.#following(() => this.#chain.restore(this.#end))
    return true
  }

  /** Ends a segment that is full now, not with the next commit: there may be none before it is removed. */
  turnOver(): void {
    if (!this.#isClosed) this.#following(() => this.#chain.turnOver(this.#end))
  }

  /** @param bytes that retention has removed of this journal */
  removed(bytes: number): void {
    this.#chain.removed(bytes)
  }

  /** Commits what is staged and a clean end. The journal stays readable whether this succeeds or throws. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      if (this.#lost > 0 || this.#lostRecords > 0 || this.#coalesced > 0) this.stagePoints(NO_POINTS)
      this.#staged.addMark(FRAME.end, new Uint8Array(0), this.#place(NO_LANE, 0))
      this.commit(undefined, true)
    } finally {
      this.#chain.release()
    }
  }

  /** Where the next frame to be committed begins. */
  get #end(): JournalPlace {
    return { firstSeq: this.#seq, pointsBefore: this.#points }
  }

  #stageSeries(): void {
    for (const series of this.#series.takeUndefined()) {
      const bytes = encodeSeries(series)
      for (let copy = 0; copy < 2; copy++) this.#staged.addMark(FRAME.series, bytes, this.#place(NO_LANE, 0))
    }
  }

  /** What the next frame's header says of its place in the journal. */
  #place(lane: number, position: number): FramePlace {
    return {
      version: FORMAT_VERSION,
      stamp: this.#stamp,
      firstSeq: this.#seq + this.#staged.points + this.#staged.records,
      pointsBefore: this.#points + this.#staged.points,
      position,
      lane,
      nextRow: this.#nextRow,
      nextSeries: this.#series.next,
      session: this.session,
    }
  }

  #forgetStaged(isJournaled: boolean): void {
    if (isJournaled) {
      this.#series.stagedWritten()
    } else {
      this.#series.stagedLost()
      this.#lost += this.#staged.points + this.#staged.lost
      this.#lostRecords += this.#staged.records + this.#staged.lostRecords
      this.#coalesced += this.#staged.coalesced
    }
    this.#staged.clear()
  }

  #openChain({ lastNumber, seals }: JournalEnd): SegmentChain {
    const { folder, runId, nonce, descriptors, syncer, onMissingFolder } = this.#options
    return new SegmentChain({
      folder,
      segmentBytes: this.#options.segmentBytes ?? SEGMENT_BYTES,
      syncer,
      descriptors,
      onMissingFolder,
      lastNumber,
      seals,
      idOf: (segment) => ({ writer: this, segment }),
      layStart: (number, seals, place) => {
        const lanes = this.lanePositions
        const [processSeq, processPoints] = [this.#processSeq, this.#processPoints]
        const start = { runId, nonce, number, createdAt: Date.now(), lanes, seals, processSeq, processPoints }
        return layStart(start, this.#series.all(), { ...this.#place(NO_LANE, 0), ...place, count: 0 })
      },
    })
  }

  /** A segment that was begun defines all series. @throws TraceletError ERR_JOURNAL_WRITE */
  #following(work: () => void): void {
    const { segment } = this
    this.#trying(work)
    if (this.segment !== segment) this.#series.allWritten()
  }

  #scan(): JournalEnd {
    return this.#trying(() => scanJournal(this.#options.folder, this.#stamp, this.#options.runId))
  }

  #trying<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw this.#writeError(error)
    }
  }

  #failed(error: TraceletError, now: number): TraceletError {
    if (error !== this.#failure) {
      this.#failure = error
      this.#retryAt = now + this.#retryMs
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
    }
    return error
  }

  #writeError(cause: unknown): TraceletError {
    if (cause instanceof TraceletError) return cause
    const taken = (cause as NodeJS.ErrnoException).code === 'EEXIST'
    const reason = taken ? 'another writer has taken over' : (cause as Error).message
    return new TraceletError('ERR_JOURNAL_WRITE', `journal of run ${this.#options.runId}: ${reason}`, {
      cause,
    })
  }
}
