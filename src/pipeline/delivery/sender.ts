/**
 * One open run at one destination: reads, writes, and acts on the answers.
 *
 *  D1  The cursor moves over the settled prefix only; an item settles by the backend's own answer, or into the
 *      dead-letter file, or because there was nothing to send.
 *  D2  At most `inFlight` writes are under way; where that is 1 the order of writes is the order of the journal.
 *  D3  A retried item comes before any later one. What may have been stored is asked for before it is sent again.
 *  D4  `blocked` dead-letters nothing. Neither does a sink that throws on everything.
 *  D7  A batch that is prepared is one that would be the same if it were cut later: full, or before a record, or the
 *      last one of the run.
 */
import { toErrorRecord } from '../../core/errors.ts'
import type { Batch, JournalReader, Rejection, WriteResult } from '../../core/types.ts'
import { type Answer, answerOf } from './answer.ts'
import type { Batcher } from './batcher.ts'
import { Beats } from './beats.ts'
import { isGivenUp, Silence } from './calls.ts'
import type { Sending, SendingParts } from './cargo.ts'
import type { Filters } from './filter.ts'
import type { Heartbeat } from './heartbeat.ts'
import { halve, type Item, isRewind, isState, itemCount } from './item.ts'
import { deadLetters, rejectAll } from './letters.ts'
import { PROBE_MS } from './limiter.ts'
import { PointBatcher } from './point-batcher.ts'
import { Prefix } from './prefix.ts'
import { RowBatcher } from './row-batcher.ts'
import { settle } from './settle.ts'

/** A sink that throws on this many items in a row, and takes none, is broken: the items are not. */
export const THROWN_IN_ROW = 8

/** Read while nothing more may be sent: a journal of which nothing is for the destination is not to be held in memory. */
const MAX_AHEAD = 64

/** A request of so few is too large for no backend that can be used at all. */
const FEW_POINTS = 16

export interface SenderParts extends SendingParts {
  readonly reader: JournalReader
  /** What is not for the destination. */
  readonly filters: Filters
  readonly heartbeat: Heartbeat
  /** Another value whenever there may be more to read. */
  readonly growth: () => number
  /** As far as the journal had grown then, there is nothing to send: rows that are open do not count. */
  readonly onIdle: (growth: number) => void
  /** Records of the destination's uploads have been passed. */
  readonly onElsewhere: () => void
}

export class Sender implements Sending {
  readonly #parts: SenderParts
  readonly #batcher: Batcher
  readonly #prefix = new Prefix()
  readonly #beats: Beats
  #underWay = 0
  #hasEnded = false
  #isSealed = false
  /** Since when points wait for their batch to be filled. */
  #waitingSince: number | undefined
  #thrownInRow = 0
  #hasHadTurn = false
  /** The last one that was sent. */
  #rewind: Item | undefined
  /** The last one that was given to the sink ahead of its time. */
  #prepared: Item | undefined
  /** The last write that began has not had its turn of the event loop. */
  #hasJustBegun = false

  constructor(parts: SenderParts) {
    this.#parts = parts
    const { limits, capabilities } = parts.site.definition
    const { reader, filters, ledger, heartbeat } = parts
    this.#beats = new Beats(parts, heartbeat)
    const options = { reader, filters, limits, capabilities, from: ledger.cursor }
    this.#batcher = capabilities.shape === 'rows' ? new RowBatcher(options) : new PointBatcher(options)
  }

  /** A call since the opening was answered. */
  get hasHadTurn(): boolean {
    return this.#hasHadTurn || this.#beats.hasHadTurn
  }

  get underWay(): number {
    return this.#beats.isUnderWay ? 1 : this.#underWay
  }

  isIdle(journalSeq: number): boolean {
    return (
      !this.#beats.isOwed &&
      this.#prefix.isEmpty &&
      !this.#batcher.isWaiting &&
      journalSeq <= this.#parts.reader.seq
    )
  }

  /**
   * Starts one write, if there is anything to send and it may be sent.
   * @param isEnding the journal gets no more
   * @returns monotonic time of the next call, Infinity for after an answer or growth, 'settled' at the end
   */
  send(isEnding: boolean, now: number): number | 'settled' {
    const { site, trouble, health, wake, track } = this.#parts
    if (trouble.notBefore > now) return trouble.notBefore
    const mayBegin = !this.#beats.isUnderWay && this.#underWay < site.definition.limits.inFlight
    if (!mayBegin) return this.#lookAhead(isEnding, now)
    const item = this.#prefix.next
    if (item === undefined) return this.#read(isEnding, now)
    if (item.refusal !== undefined) {
      if (item.gone !== undefined) health.notice(item.refusal.code, item.refusal.reason)
      this.#reject(item, item.refusal.code, item.refusal.reason, now)
      return now
    }
    // A run's state follows everything before it.
    if ((isState(item) || isRewind(item)) && this.#prefix.firstOpen !== item) return Infinity
    if (this.#rewind?.isUnderWay) return Infinity
    // Records are told in their order: of two values of one tag the later must win.
    if (item.record !== undefined && this.#prefix.hasOpenRecordBefore(item)) return Infinity
    if (item.points !== undefined && itemCount(item) > site.account.batchSize.limit) {
      this.#prefix.replace(item, halve(item))
      return now
    }
    const ready = site.account.readyAt(wake, now)
    if (ready > now) return ready
    item.isUnderWay = true
    if (isRewind(item)) this.#rewind = item
    this.#underWay++
    this.#beats.called(now)
    site.account.begin(wake, now)
    const silenceMs = site.account.patience.ms(item.silences)
    track((signal) => this.#write(item, signal), { silenceMs, isFirm: false })
    if (this.#parts.sink.prepare !== undefined) this.#letBegin()
    return now
  }

  /** @throws TraceletError when the disk refuses */
  save(now: number): void {
    const { ledger, health, site } = this.#parts
    ledger.save(this.#batcher.place(this.#prefix.items), now)
    if (ledger.isBalanced) return
    health.notice(
      'ERR_LAW',
      `what ${site.name} has settled is not what the journal holds up to ${ledger.cursor.seq}`,
    )
  }

  /** Answers that come later change nothing any more. */
  seal(): void {
    this.#isSealed = true
    this.#beats.seal()
    this.#batcher.close()
  }

  /** Preparing holds up the thread: what has just been handed to a socket is to leave first. */
  #letBegin(): void {
    this.#hasJustBegun = true
    setImmediate(() => {
      this.#hasJustBegun = false
      this.#parts.wake()
    })
  }

  /** While no further write may begin: finds the batch that comes next and has the sink prepare it, once. */
  #lookAhead(isEnding: boolean, now: number): number {
    const { sink, site } = this.#parts
    if (sink.prepare === undefined || this.#hasJustBegun) return Infinity
    const item = this.#prefix.next
    if (item === undefined) {
      if (this.#prefix.items.length >= MAX_AHEAD) return Infinity
      const next = this.#read(isEnding, now, true)
      return next === 'settled' ? Infinity : next
    }
    if (item === this.#prepared) return Infinity
    this.#prepared = item
    const isSent = item.refusal === undefined && itemCount(item) <= site.account.batchSize.limit
    if (isSent && item.points !== undefined) this.#prepare(item.points.batch)
    return Infinity
  }

  #prepare(batch: Batch): void {
    const { sink, site, health } = this.#parts
    try {
      sink.prepare!(batch)
    } catch (error) {
      const message = `the sink of ${site.name} is at fault: ${(error as Error).message}`
      health.notice('ERR_SINK_BUG', message)
    }
  }

  /**
   * Reads on until there is something to write.
   * @param isAhead it cannot be written yet: a batch that may still grow is left to grow
   */
  #read(isEnding: boolean, now: number, isAhead = false): number | 'settled' {
    const batcher = this.#batcher
    const { lingerMs } = this.#parts.site.definition.limits
    // before it is read: what comes meanwhile may not be seen
    const growth = this.#parts.growth()
    const lingersUntil = this.#waitingSince === undefined ? Infinity : this.#waitingSince + lingerMs
    const items = batcher.next(isEnding || (!isAhead && (lingerMs === 0 || now >= lingersUntil)))
    for (const item of items) this.#prefix.add(item)
    if (items.length > 0) this.#commit()
    if (!batcher.isWaiting) this.#waitingSince = undefined
    // a record that was handed out says nothing of the points that wait
    else if (this.#waitingSince === undefined || items.some(({ points }) => points !== undefined)) {
      this.#waitingSince = now
    }
    if (items.length > 0 || !batcher.isAtEnd) return now
    if (!isEnding && isAhead) return Infinity
    if (!isEnding) {
      const flushAt = this.#waitingSince === undefined ? Infinity : this.#waitingSince + lingerMs
      if (this.#prefix.isEmpty && flushAt === Infinity) this.#parts.onIdle(growth)
      return this.#prefix.isEmpty ? this.#beats.send(flushAt, now) : flushAt
    }
    if (!this.#hasEnded) {
      this.#hasEnded = true
      batcher.endRun()
      return now
    }
    return this.#prefix.isEmpty ? 'settled' : Infinity
  }

  async #write(item: Item, signal: AbortSignal): Promise<void> {
    const { sink, site } = this.#parts
    const askedAt = site.now()
    const count = item.record === undefined ? itemCount(item) : Infinity
    const answer = await answerOf(count, async (): Promise<WriteResult> => {
      if (item.record !== undefined) return await sink.writeRecord(item.record, item.seq, signal)
      const { batch } = item.points!
      if (item.isUnclear && (await sink.stored?.(batch, signal))) return { status: 'accepted' }
      return await sink.write(batch, signal)
    })
    this.#underWay--
    this.#hasHadTurn = true
    item.isUnderWay = false
    if (signal.reason instanceof Silence) item.silences++
    else site.account.patience.answered(site.now() - askedAt)
    if (answer.status === 'retry') item.isUnclear ||= answer.unsent !== true
    const saysNothing = answer.status === 'retry' && isGivenUp(signal)
    if (!this.#isSealed && !saysNothing) this.#answered(item, answer, site.now(), askedAt)
    site.account.end()
  }

  #answered(item: Item, answer: Answer, now: number, askedAt: number): void {
    const { trouble } = this.#parts
    if ('restMs' in answer) this.#parts.site.account.turnstile.rest(answer.restMs, now)
    switch (answer.status) {
      case 'accepted':
        this.#thrownInRow = 0
        trouble.recovered(now, askedAt)
        this.#parts.site.account.batchSize.took(itemCount(item), now)
        this.#settle(item, [], answer)
        return
      case 'partial':
        this.#thrownInRow = 0
        trouble.recovered(now, askedAt)
        if (this.#keepLetters(item, answer.rejected, now)) this.#settle(item, answer.rejected, answer)
        return
      case 'retry':
        trouble.retry(answer, now)
        return
      case 'split':
        if (answer.tooLarge && this.#tooLarge(item, answer.reason, now)) return
        trouble.recovered(now, askedAt)
        this.#split(item, answer.code, answer.reason, now)
        return
      case 'blocked':
        trouble.blocked(answer, now)
        return
      case 'bug':
        this.#bug(item, answer.reason, now)
    }
  }

  #settle(item: Item, rejected: readonly Rejection[], answer?: Parameters<typeof settle>[2]): void {
    settle(item, rejected, answer)
    this.#batcher.release(item)
    // of a run that rests it would hold a whole batch
    if (this.#prepared === item) this.#prepared = undefined
    this.#commit()
  }

  /** Later batches are made smaller; true when not even the smallest is taken, which is no fault of a point. */
  #tooLarge(item: Item, reason: string, now: number): boolean {
    const { site, trouble } = this.#parts
    if (!isSingle(item)) site.account.batchSize.refused(itemCount(item), now)
    if (!isSingle(item) || item.points === undefined || item.points.batch.length > FEW_POINTS) return false
    const message = `not even one point is taken in a request: ${reason}`
    trouble.block('ERR_SERVER', message, PROBE_MS, now)
    return true
  }

  #split(item: Item, code: string, reason: string, now: number): void {
    if (isSingle(item)) this.#reject(item, code, reason, now)
    else this.#prefix.replace(item, halve(item))
  }

  #bug(item: Item, reason: string, now: number): void {
    const { site, trouble, health } = this.#parts
    const message = `the sink of ${site.name} is at fault: ${reason}`
    if (isSingle(item) && ++this.#thrownInRow > THROWN_IN_ROW) {
      trouble.block('ERR_SINK_BUG', message, PROBE_MS, now)
      return
    }
    health.notice('ERR_SINK_BUG', message)
    this.#split(item, 'ERR_SINK_BUG', reason, now)
  }

  #reject(item: Item, code: string, reason: string, now: number): void {
    const rejected = rejectAll(item, code, reason)
    if (this.#keepLetters(item, rejected, now)) this.#settle(item, rejected)
  }

  /** False: the disk does not take them, so the item is not settled and comes again. */
  #keepLetters(item: Item, rejected: readonly Rejection[], now: number): boolean {
    if (rejected.length === 0) return true
    const { site, trouble } = this.#parts
    try {
      site.appendLetters(deadLetters(site.name, item, rejected, site.wallNow()))
      return true
    } catch (error) {
      const { code, message } = toErrorRecord(error, 'ERR_JOURNAL_WRITE')
      trouble.stumble(code, message, now)
      return false
    }
  }

  /** Moves over what is settled without a gap. */
  #commit(): void {
    const { ledger, onElsewhere } = this.#parts
    const { elsewhere } = ledger.sums
    for (const item of this.#prefix.commit(this.#batcher.position)) {
      ledger.add(item.sums)
      if (item.hasState) ledger.setState(item.state)
      this.#batcher.commit(item)
    }
    if (ledger.sums.elsewhere > elsewhere) onElsewhere()
  }
}

function isSingle(item: Item): boolean {
  return item.points === undefined || itemCount(item) < 2
}
