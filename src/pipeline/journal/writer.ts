/**
 * Appends one run's points and records to its journal: frames are staged, then committed by one write.
 * format.ts tells what is written and why (J1 …). Synchronous; lives in the drain thread.
 */
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicNow } from '../../core/clock.ts'
import { TraceletError } from '../../core/errors.ts'
import type { RunRecord, SeriesId } from '../../core/types.ts'
import type { StagedPoints } from '../coalesce.ts'
import { sizeOf, writeStretches } from './append.ts'
import { FORMAT_VERSION, FRAME, NO_LANE, segmentName, stampOf } from './format.ts'
import { decodeRecord, encodeRecord, encodeSeries } from './records.ts'
import { framesSince } from './rewrite.ts'
import { type JournalEnd, scanJournal } from './scan.ts'
import { createSegment, layStart } from './segment-start.ts'
import { SeriesTable } from './series-table.ts'
import { type FramePlace, StagedFrames } from './staged-frames.ts'
import type { JournalSyncId, JournalWriterOptions } from './writer-options.ts'

export const SEGMENT_BYTES: number = 64 * 1024 * 1024
/** Seals that each segment repeats: so many segments may be lost without one before them losing its end. */
const KEPT_SEALS = 8

export type { JournalSyncId, JournalWriterOptions } from './writer-options.ts'

export class JournalWriter {
  /** Position below which each of this process's lanes is in the journal. A restarted drain skips slots below it. */
  readonly lanePositions: Map<number, number>
  readonly session: number

  readonly #options: JournalWriterOptions
  readonly #stamp: number
  readonly #series: SeriesTable
  readonly #seals: Map<number, number>
  /** Where this process took over. */
  readonly #processSeq: number
  readonly #processPoints: number
  #seq: number
  #points: number
  #nextRow: number
  #number: number
  #fd = -1
  #committedBytes = 0
  /** Of them: SEGMENT and the series known at its beginning. */
  #startBytes = 0
  #syncedBytes = 0
  /** Part of a frame may stand after #committedBytes: the next commit begins a new segment. */
  #isTorn = false

  readonly #staged = new StagedFrames()
  /** For the next POINTS frame. */
  #coalesced = 0
  #lost = 0
  #lostRecords = 0
  #isClosed = false

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
    this.#number = end.lastNumber
    this.#series = new SeriesTable(end.series.values(), end.nextSeries)
    this.#seals = new Map(end.seals)
    this.session = end.session + 1
    this.lanePositions = new Map(options.session === 'drain' ? end.lanes : [])
    this.#beginSegment(this.#seq, this.#points)
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
    return this.#number
  }
  get path(): string {
    return join(this.#options.folder, segmentName(this.#number))
  }
  get fd(): number {
    return this.#options.descriptors?.acquire(this.path) ?? this.#fd
  }
  get committedBytes(): number {
    return this.#committedBytes
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
   * lost, and nothing of it will be read.
   * @param now monotonic ms
   */
  commit(now: number = monotonicNow()): void {
    if (this.#staged.stretches.length === 0) return
    try {
      if (this.#isTorn || this.#committedBytes - this.#startBytes >= this.#segmentBytes) {
        this.#beginSegment(this.#seq, this.#points)
      }
      this.#append(now)
    } catch (error) {
      this.#forgetStaged(false)
      throw this.#writeError(error)
    }
    this.#seq += this.#staged.points + this.#staged.records
    this.#points += this.#staged.points
    for (const [lane, position] of this.#staged.lanes) this.lanePositions.set(lane, position)
    this.#forgetStaged(true)
  }

  /** Takes in what the sync thread reported for this writer's id. Throws ERR_JOURNAL_WRITE as `commit` does. */
  handleSync(report: { id: JournalSyncId; syncedBytes: number; failure: string }): void {
    if (report.id.segment !== this.#number) return
    if (report.failure === '') this.#syncedBytes = Math.max(this.#syncedBytes, report.syncedBytes)
    else {
      this.resealAfterFailedSync(this.#syncedBytes)
      if (this.#isClosed) this.#release()
    }
  }

  /**
   * After a failed sync the system may have dropped what it had not written and call the file clean: the segment is
   * sealed where it was last known to be safe, and everything since is written again into a new one.
   */
  resealAfterFailedSync(syncedBytes: number): void {
    const since = framesSince(this.#options.folder, this.#number, syncedBytes, this.#committedBytes)
    const whole = this.#committedBytes
    this.#committedBytes = syncedBytes
    try {
      this.#beginSegment(since.seq ?? this.#seq, since.points ?? this.#points, since.frames)
    } catch (error) {
      this.#committedBytes = whole
      throw this.#writeError(error)
    }
  }

  /** Commits what is staged and a clean end. The journal stays readable whether this succeeds or throws. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      if (this.#lost > 0 || this.#lostRecords > 0 || this.#coalesced > 0) this.stagePoints(NO_POINTS)
      this.#staged.addMark(FRAME.end, new Uint8Array(0), this.#place(NO_LANE, 0))
      this.commit()
    } finally {
      this.#release()
    }
  }

  get #segmentBytes(): number {
    return this.#options.segmentBytes ?? SEGMENT_BYTES
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

  #append(now: number): void {
    const fd = this.fd
    try {
      writeStretches(fd, this.#staged.memory, this.#staged.stretches)
    } catch (error) {
      this.#isTorn = sizeOf(fd) !== this.#committedBytes
      throw error
    }
    this.#committedBytes += this.#staged.bytes
    this.#options.syncer?.dirty(fd, { writer: this, segment: this.#number }, this.#committedBytes, now)
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

  /** Seals the present segment at #committedBytes and goes on in a new one. Changes nothing when it throws. */
  #beginSegment(firstSeq: number, pointsBefore: number, frames: Iterable<Uint8Array> = []): void {
    const { folder, runId, nonce, descriptors, syncer } = this.#options
    if (this.#startBytes > 0) this.#seals.set(this.#number, this.#committedBytes)
    const number = this.#number + 1
    const start = layStart(
      {
        runId,
        nonce,
        number,
        createdAt: Date.now(),
        lanes: this.lanePositions,
        seals: new Map([...this.#seals].sort(([a], [b]) => b - a).slice(0, KEPT_SEALS)),
        processSeq: this.#processSeq,
        processPoints: this.#processPoints,
      },
      this.#series.all(),
      { ...this.#place(NO_LANE, 0), firstSeq, pointsBefore, count: 0 },
    )
    let made: { fd: number; bytes: number }
    try {
      made = createSegment(join(folder, segmentName(number)), concatenate(start, frames))
    } catch (error) {
      throw this.#writeError(error)
    }
    this.#release()
    if (descriptors) closeSync(made.fd)
    this.#number = number
    this.#fd = descriptors ? -1 : made.fd
    this.#committedBytes = made.bytes
    this.#startBytes = start.length
    this.#syncedBytes = 0
    this.#isTorn = false
    this.#series.allWritten()
    syncer?.dirtyFolder(folder)
    syncer?.dirty(this.fd, { writer: this, segment: number }, made.bytes, monotonicNow())
  }

  #scan(): JournalEnd {
    try {
      return scanJournal(this.#options.folder, this.#stamp)
    } catch (error) {
      throw this.#writeError(error)
    }
  }

  #release(): void {
    const { descriptors, syncer } = this.#options
    if (this.#startBytes === 0 || (!descriptors && this.#fd < 0)) return
    if (descriptors) descriptors.close(this.path)
    else if (syncer) syncer.closeAfterSync(this.#fd)
    else closeSync(this.#fd)
    this.#fd = -1
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

const NO_POINTS: StagedPoints = {
  length: 0,
  series: new Uint32Array(0),
  value: new Float64Array(0),
  fragments: {
    length: 0,
    step: new Float64Array(0),
    time: new Float64Array(0),
    row: new Uint32Array(0),
    count: new Uint32Array(0),
  },
  closed: new Uint32Array(0),
  closedLength: 0,
  coalesced: 0,
}

function* concatenate(first: Uint8Array, others: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield first
  yield* others
}
