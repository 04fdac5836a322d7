/**
 * Records that a sink uploads, on a cursor of their own, so that they hold back neither rows nor the end of the run.
 *
 *  L7  It opens only when there is something to upload and the rows' delivery has opened the run, and with the state
 *      that was committed there: two openings never make two remote runs.
 *  L8  For a run without such records nothing is read, guarded or opened: that there are some is told by what the
 *      rows' delivery has counted as settled elsewhere. Only where that one is far behind it looks itself.
 *  L9  What rows left to it and nobody has settled when both stand at the end of the journal was damaged in between.
 *      What it settled and rows then met damaged counts once, as corrupt: rows cannot know what it was.
 */
import { DESTINATION, RUN } from '../../core/counters.ts'
import type { SinkState } from '../../core/types.ts'
import type { RecordsReader } from '../journal/reader.ts'
import type { Ask, Cargo, Sending, SendingParts } from './cargo.ts'
import type { Ledger } from './ledger.ts'
import type { DeliverySite } from './site.ts'
import { type IsUpload, UploadFeed } from './upload-feed.ts'
import { UploadProgress } from './upload-progress.ts'
import { UploadQueue } from './upload-queue.ts'
import { UploadSender } from './upload-sender.ts'
import { UploadSurvey } from './upload-survey.ts'

/** Records that the rows' delivery has not met for so long are looked at without it. */
const LAG_MS = 1_000

/** The delivery of the rows of the same run to the same destination. */
export interface RowsSide {
  readonly isClosed: boolean
  /** The state that finds the remote run, once it is safe on disk. */
  readonly remote: { readonly state: SinkState } | undefined
}

export interface UploadsOptions {
  readonly site: DeliverySite
  /** The run's `RUN` counters. */
  readonly journal: Float64Array
  /** The destination's counters: its rows' half first. */
  readonly rowsBlock: Float64Array
  readonly rows: RowsSide
  /** Which records rows leave to it; undefined before they know. */
  isUpload(): IsUpload | undefined
  /** @param pointsBelow how many of the sequence numbers below `from` are points */
  openRecords(from: number, pointsBelow?: number): RecordsReader
}

export class UploadsCargo implements Cargo {
  readonly opensAnyway = false
  readonly #options: UploadsOptions
  readonly #progress: UploadProgress
  #survey: UploadSurvey | undefined
  /** Growth up to which everything has been looked at. */
  #known = -1
  #records = 0
  #recordsAtSeq = 0
  #hasMoved = false
  /** Records that the rows' delivery has not met, and since when. */
  #lag: { readonly records: number; readonly since: number } | undefined

  constructor(options: UploadsOptions) {
    this.#options = options
    this.#progress = new UploadProgress(options.site.block)
  }

  /**
   * Records, and a half more when the journal has moved since they were counted: the writer counts a record before
   * it publishes how far can be read.
   */
  growth(): number {
    const { journal } = this.#options
    const records = journal[RUN.recordsBefore]! + journal[RUN.recordsJournaled]!
    const seq = journal[RUN.seq]!
    if (records !== this.#records) {
      this.#records = records
      this.#recordsAtSeq = seq
      this.#hasMoved = false
    } else this.#hasMoved ||= seq !== this.#recordsAtSeq
    return this.#hasMoved ? records + 0.5 : records
  }

  ask(ledger: Ledger | undefined, isAtRest: boolean, now: number): Ask {
    const { rows } = this.#options
    const finding = ledger === undefined ? this.#suspect(now) : this.#look(ledger.cursor.seq, now)
    if (typeof finding === 'number') return finding
    if (finding === 'none') {
      const isLast = isAtRest && (ledger !== undefined || rows.isClosed)
      if (!isLast) return Infinity
      if (ledger === undefined || this.#damaged(ledger) === 0) return 'end'
    }
    if (ledger === undefined || rows.remote !== undefined) return 'go'
    return rows.isClosed ? { hopeless: 'the run could not be opened there' } : Infinity
  }

  loaded({ cursor }: Ledger): void {
    this.rest()
    this.#survey = this.#newSurvey(cursor)
    this.#known = -1
  }

  openState(): SinkState {
    return this.#options.rows.remote?.state
  }

  /** What the second opening finds is what the first has found. */
  opened(): void {}

  startSending(parts: SendingParts): Sending {
    const { ledger } = parts
    const { cursor } = ledger
    const reader = this.#options.openRecords(cursor.seq, cursor.points)
    const queue = new UploadQueue(ledger)
    const feed = new UploadFeed(reader, this.#options.isUpload()!, cursor, (count) => queue.pass(count))
    return new UploadSender({
      ...parts,
      feed,
      queue,
      survey: this.#survey!,
      progress: this.#progress,
      damaged: () => this.#damaged(ledger),
    })
  }

  rest(): void {
    this.#survey?.rest()
  }

  /** Records that rows left to us less those that we settled, for when all that can be read are settled (L9). */
  #damaged({ sums }: Ledger): number {
    const { rowsBlock, site } = this.#options
    if (rowsBlock[DESTINATION.seq]! < site.journalSeq()) return 0
    const settled = sums.recordsDelivered + sums.recordsRejected + sums.recordsCorrupt
    return rowsBlock[DESTINATION.elsewhere]! - settled
  }

  /** Before the cursor is known. */
  #suspect(now: number): 'some' | 'none' | number {
    const { rowsBlock, rows, isUpload } = this.#options
    if (isUpload() === undefined) return 'none'
    // of what rows met damaged some may have been settled here before
    if (rowsBlock[DESTINATION.elsewhere]! > 0 || rowsBlock[DESTINATION.recordsCorrupt]! > 0) return 'some'
    const growth = this.growth()
    if (growth === this.#known) return 'none'
    const records = Math.floor(growth)
    const { recordsDelivered, recordsFiltered, recordsRejected, recordsCorrupt } = DESTINATION
    const words = [recordsDelivered, recordsFiltered, recordsRejected, recordsCorrupt]
    const met = words.reduce((sum, word) => sum + rowsBlock[word]!, 0)
    if (met >= records) {
      this.#known = growth
      return 'none'
    }
    if (rows.remote === undefined) return 'none'
    if (this.#lag === undefined || met >= this.#lag.records) this.#lag = { records, since: now }
    const lookAt = rows.isClosed ? now : this.#lag.since + LAG_MS
    if (now < lookAt) return lookAt
    this.#survey ??= this.#newSurvey({ seq: 0 })
    return this.#look(0, now)
  }

  /** Whether there is anything to upload from `seq` on. */
  #look(seq: number, now: number): 'some' | 'none' | number {
    const survey = this.#survey!
    if (survey.lastMet >= seq) return 'some'
    const growth = this.growth()
    if (growth === this.#known) return 'none'
    const isAtEnd = survey.look()
    if (survey.lastMet >= seq) return 'some'
    if (!isAtEnd) return now
    survey.rest()
    this.#known = growth
    return 'none'
  }

  #newSurvey(from: { readonly seq: number; readonly files?: number }): UploadSurvey {
    const { site, isUpload, openRecords } = this.#options
    const parts = { isUpload: isUpload()!, runFolder: site.run.folder, progress: this.#progress, openRecords }
    return new UploadSurvey(parts, from)
  }
}
