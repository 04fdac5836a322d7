/**
 * Uploads of one open run at one destination: one record after the other, each a step per file and one more.
 *
 *  L4  The cursor stands before the first record under way and says how many of its files are settled (L1).
 *  L5  A record settles by the answer to its last step, or into the dead-letter file.
 *  L6  `blocked` and `retry` cost nothing: the step comes again, with the state that was last kept.
 */
import { TraceletError, toErrorRecord } from '../../core/errors.ts'
import type { Cursor, Rejection, StoredFile, Upload, UploadFile } from '../../core/types.ts'
import { type Answer, answerOf, codeOf } from './answer.ts'
import { isGivenUp, Silence } from './calls.ts'
import type { Sending, SendingParts } from './cargo.ts'
import type { CursorPlace } from './ledger.ts'
import { uploadLetter } from './letters.ts'
import { PROBE_MS } from './limiter.ts'
import { uploadSilenceMs } from './patience.ts'
import { THROWN_IN_ROW } from './sender.ts'
import { asideAfter } from './upload-aside.ts'
import type { FoundRecord, UploadFeed } from './upload-feed.ts'
import { blobFault, contentFault, filesOf, isStored, uploadFile } from './upload-files.ts'
import { UploadJob, type UploadStep } from './upload-job.ts'
import type { UploadProgress } from './upload-progress.ts'
import type { UploadQueue } from './upload-queue.ts'
import type { UploadSurvey } from './upload-survey.ts'

export interface UploadSenderParts extends SendingParts {
  readonly feed: UploadFeed
  readonly queue: UploadQueue
  readonly survey: UploadSurvey
  readonly progress: UploadProgress
  /**
   * Records that were damaged before they were met, as known at the end of the journal; below 0 those that were
   * damaged after they were settled, and that rows have counted as corrupt.
   */
  readonly damaged: () => number
}

interface AskedCall {
  readonly askedAt: number
  /** The answer is ours: the sink was not asked. */
  readonly isOurs: boolean
  readonly isGivenUp: boolean
}

export class UploadSender implements Sending {
  readonly #parts: UploadSenderParts
  readonly #maxUnderWay: number
  /** Read, and not begun yet. */
  #found: FoundRecord | undefined
  /** What the cursor says of the record that it stands before; used up by the first record. */
  #resume: Cursor | undefined
  #underWay = 0
  #hasHadTurn = false
  #isSealed = false
  #isSurveyed = false
  #isEnding = false
  #thrownInRow = 0
  /** Digests of files whose bytes were looked at since the run was opened: a file that comes again is not read twice. */
  readonly #sound = new Set<string>()

  constructor(parts: UploadSenderParts) {
    this.#parts = parts
    this.#maxUnderWay = parts.site.definition.limits.uploadsInFlight ?? 1
    this.#resume = parts.ledger.cursor
  }

  get hasHadTurn(): boolean {
    return this.#hasHadTurn
  }

  get underWay(): number {
    return this.#underWay
  }

  /** Points do not concern it: growth by records gives it a turn. */
  isIdle(): boolean {
    const { queue, feed } = this.#parts
    return queue.isEmpty && this.#found === undefined && this.#isSurveyed && feed.isAtEnd
  }

  send(isEnding: boolean, now: number): number | 'settled' {
    const { survey, feed, queue, trouble, site, wake } = this.#parts
    this.#isSurveyed = survey.look()
    this.#isEnding = isEnding
    if (trouble.notBefore > now) return trouble.notBefore
    if (this.#underWay >= this.#maxUnderWay) return this.#isSurveyed ? Infinity : now
    if (queue.due(now) === undefined) {
      if (this.#begin(now)) return now
      if (trouble.notBefore > now) return trouble.notBefore
      if (queue.hasRoom && (!feed.isAtEnd || !this.#isSurveyed)) return now
      if (queue.isEmpty) {
        if (!isEnding) return Infinity
        this.#settleDamaged()
        return 'settled'
      }
      if (!isEnding) return queue.dueAt(now)
    }
    // at the end of the run what was set aside has nothing to make room for
    const job = queue.due(now) ?? queue.any!
    if (job.isRefused) {
      this.#rejectRecord(job, job.fault === undefined ? [] : [job.fault], now)
      return now
    }
    const ready = site.account.readyAt(wake, now)
    if (ready > now) return ready
    const step = job.take()
    if (step !== undefined) this.#start(job, step, now)
    else if (this.#isSurveyed) return Infinity
    return now
  }

  save(now: number): void {
    const { ledger, health, site } = this.#parts
    ledger.save(this.#place(), now)
    if (ledger.isBalanced) return
    health.notice(
      'ERR_LAW',
      `the uploads of ${site.name} are not what the journal holds up to ${ledger.cursor.seq}`,
    )
  }

  seal(): void {
    this.#isSealed = true
    this.#parts.feed.close()
  }

  #place(): CursorPlace {
    const { points } = this.#parts.feed
    const { first } = this.#parts.queue
    if (first === undefined) {
      const seq = this.#found?.seq ?? this.#parts.feed.seq
      return { seq, back: seq, points }
    }
    const { job } = first
    const { settled, refused } = job
    return {
      seq: job.seq,
      back: job.seq,
      points: first.points,
      ...(settled > 0 && { files: settled }),
      ...(refused.count > 0 && { refused }),
    }
  }

  /** Takes the next record; false when there is none, or the disk does not give its list of files. */
  #begin(now: number): boolean {
    const { feed, queue, trouble } = this.#parts
    if (!queue.hasRoom) return false
    this.#found ??= feed.next()
    if (this.#found === undefined) return false
    const { seq, record } = this.#found
    let files: readonly StoredFile[] | Rejection
    try {
      files = filesOf(record, this.#parts.site.run.folder)
    } catch (error) {
      const { code, message } = toErrorRecord(error, 'ERR_BLOB')
      if (!(error instanceof TraceletError)) {
        trouble.stumble(code, message, now)
        return false
      }
      files = { index: -1, code, reason: message }
    }
    const isResumed = this.#resume?.seq === seq
    const from = isResumed ? this.#resume! : { state: undefined }
    this.#resume = undefined
    this.#found = undefined
    queue.push(new UploadJob(seq, record, files, from), feed.points)
    return true
  }

  #start(job: UploadJob, step: UploadStep, now: number): void {
    const { site, track, wake } = this.#parts
    const file = this.#fileOf(job, step, now)
    if (file === 'none') return
    this.#underWay++
    site.account.begin(wake, now)
    const bytes = file?.blob.bytes ?? job.bytes
    track((signal, alive) => this.#run(job, step, file, signal, alive), {
      silenceMs: uploadSilenceMs(bytes, job.silences),
      isFirm: true,
    })
  }

  /** The file of a step, undefined for the last one; 'none' when it cannot be sent. */
  #fileOf(job: UploadJob, step: UploadStep, now: number): UploadFile | undefined | 'none' {
    const { site, trouble, progress } = this.#parts
    const entry = job.files[step.index]
    if (entry === undefined || !isStored(entry)) return undefined
    try {
      const file = uploadFile(entry, step.index, site.run.folder)
      const fault = blobFault(file.location, file.blob)
      if (fault === undefined) return file
      job.refuse(step, 'ERR_BLOB', fault)
      progress.settle(1, file.blob.bytes)
      this.#moved()
    } catch (error) {
      job.putBack(step)
      const { code, message } = toErrorRecord(error, 'ERR_BLOB')
      trouble.stumble(code, message, now)
    }
    return 'none'
  }

  async #run(
    job: UploadJob,
    step: UploadStep,
    file: UploadFile | undefined,
    signal: AbortSignal,
    alive: () => void,
  ): Promise<void> {
    const { sink, site, progress, queue, wake } = this.#parts
    const askedAt = site.now()
    const transfer = progress.begin(file?.blob.bytes ?? 0)
    let isOver = false
    const upload: Upload = {
      seq: job.seq,
      record: job.record,
      ...(file && { file }),
      files: job.files,
      state: job.state,
      keep: (state) => {
        if (isOver || this.#isSealed) return
        alive()
        queue.setState(job, state)
        wake()
      },
      sent: (bytes) => {
        if (isOver) return
        alive()
        transfer.sent(bytes)
      },
    }
    const fault = await this.#contentFault(file, signal, alive)
    const answer = fault ?? (await answerOf(Infinity, () => sink.upload!(upload, signal)))
    isOver = true
    if (signal.reason instanceof Silence) job.silences++
    this.#underWay--
    this.#hasHadTurn = true
    const call = { askedAt, isOurs: fault !== undefined, isGivenUp: isGivenUp(signal) }
    const isSettled = !this.#isSealed && this.#answered(job, step, answer, site.now(), call)
    transfer.end(isSettled && file !== undefined)
    site.account.end()
  }

  /** An answer in the sink's place where the file is not what the journal says, or cannot be read just now. */
  async #contentFault(
    file: UploadFile | undefined,
    signal: AbortSignal,
    alive: () => void,
  ): Promise<Answer | undefined> {
    if (file === undefined || this.#sound.has(file.blob.digest)) return undefined
    try {
      const fault = await contentFault(file.location, file.blob, signal, alive)
      if (fault !== undefined) return { status: 'split', code: 'ERR_BLOB', reason: fault }
      this.#sound.add(file.blob.digest)
      return undefined
    } catch (error) {
      return { status: 'retry', code: 'ERR_BLOB', reason: (error as Error).message }
    }
  }

  /** Whether the step is settled. */
  #answered(
    job: UploadJob,
    step: UploadStep,
    answer: Answer,
    now: number,
    { askedAt, isOurs, isGivenUp }: AskedCall,
  ): boolean {
    const { trouble, queue, site } = this.#parts
    if ('restMs' in answer) site.account.turnstile.rest(answer.restMs, now)
    if ('state' in answer && answer.state !== undefined) queue.setState(job, answer.state)
    switch (answer.status) {
      case 'accepted':
        this.#recovered(now, askedAt)
        this.#accept(job, step)
        return true
      case 'partial':
        this.#recovered(now, askedAt)
        if (answer.rejected.length === 0) this.#accept(job, step)
        else return this.#reject(job, step, answer.rejected, now)
        return true
      case 'split':
        // that a file is damaged says nothing of the backend
        if (!isOurs) this.#recovered(now, askedAt)
        return this.#reject(job, step, [{ index: -1, code: answer.code, reason: answer.reason }], now)
      case 'retry':
        if (isGivenUp) break
        if (isOurs) trouble.stumble('ERR_BLOB', answer.reason, now)
        else trouble.retry(answer, now)
        this.#faulty(job, answer, now)
        break
      case 'blocked':
        trouble.blocked(answer, now)
        break
      case 'bug':
        return this.#bug(job, step, answer.reason, now)
    }
    job.putBack(step)
    return false
  }

  /** One that the backend cannot take, for whatever reason, must not hold up all that come after it. */
  #faulty(job: UploadJob, answer: Extract<Answer, { status: 'retry' }>, now: number): void {
    const aside = asideAfter(job, answer, this.#isEnding, now)
    const { queue, health, site } = this.#parts
    // only for another one
    if (aside === undefined || (queue.due(now, job) === undefined && !this.#begin(now))) return
    queue.setAside(job, now + aside.forMs)
    if (!aside.isTold) return
    const name = 'name' in job.record ? ` '${job.record.name}'` : ''
    health.notice(
      codeOf(answer.code ?? 'ERR_SERVER'),
      `${site.name} fails again and again at ${job.record.kind}${name}: what comes later goes first, it is tried ` +
        `every ${aside.forMs / 60_000} minutes: ${answer.reason}`,
    )
  }

  #recovered(now: number, askedAt: number): void {
    this.#thrownInRow = 0
    this.#parts.trouble.recovered(now, askedAt)
  }

  #accept(job: UploadJob, step: UploadStep): void {
    if (step.index < job.files.length) {
      job.settle(step)
      this.#moved()
    } else this.#done(job, { recordsDelivered: 1 })
  }

  #reject(job: UploadJob, step: UploadStep, rejected: readonly Rejection[], now: number): boolean {
    if (step.index === job.files.length) {
      if (this.#rejectRecord(job, rejected, now)) return true
      job.putBack(step)
      return false
    }
    const { code } = rejected[0]!
    job.refuse(step, code, rejected.map(({ reason }) => reason).join('; '))
    this.#moved()
    return true
  }

  #bug(job: UploadJob, step: UploadStep, reason: string, now: number): boolean {
    const { site, trouble, health } = this.#parts
    const message = `the sink of ${site.name} is at fault: ${reason}`
    if (++this.#thrownInRow > THROWN_IN_ROW) {
      trouble.block('ERR_SINK_BUG', message, PROBE_MS, now)
      job.putBack(step)
      return false
    }
    health.notice('ERR_SINK_BUG', message)
    return this.#reject(job, step, [{ index: -1, code: 'ERR_SINK_BUG', reason }], now)
  }

  /**
   * False: the disk does not take the letter, so the record is not settled and is tried again.
   * @param rejected why, besides the files that were
   */
  #rejectRecord(job: UploadJob, rejected: readonly Rejection[], now: number): boolean {
    const { site, trouble } = this.#parts
    try {
      site.appendLetters([uploadLetter(site.name, job, rejected, site.wallNow())])
    } catch (error) {
      const { code, message } = toErrorRecord(error, 'ERR_JOURNAL_WRITE')
      trouble.stumble(code, message, now)
      return false
    }
    this.#done(job, { recordsRejected: 1 })
    return true
  }

  /** L9. They were passed as what others settle. */
  #settleDamaged(): void {
    const { ledger, feed, site, damaged } = this.#parts
    const count = feed.seq < site.journalSeq() ? 0 : damaged()
    if (count > 0) ledger.add({ recordsCorrupt: count, elsewhere: -count })
    let left = -count
    for (const sum of ['recordsDelivered', 'recordsRejected'] as const) {
      const part = Math.min(left, ledger.sums[sum])
      if (part > 0) ledger.add({ [sum]: -part, elsewhere: part })
      left -= Math.max(part, 0)
    }
  }

  #moved(): void {
    this.#parts.ledger.touch()
  }

  #done(job: UploadJob, sums: { recordsDelivered: 1 } | { recordsRejected: 1 }): void {
    this.#parts.queue.settle(job, sums)
  }
}
