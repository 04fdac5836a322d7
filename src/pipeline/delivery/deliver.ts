/**
 * One run at one destination, from opening to 'closed'. What happens while it is open is the sender's.
 *
 *             slot, guard               ready
 *    parked ─────────────▶ opening ─────────────▶ open ──▶ closing ──▶ closed
 *       ▲                     │ retry, blocked      │ another run needs the slot
 *       └────── parking ◀─────┴─────────────────────┘
 *
 *  D5  'closed' is told by the deadline, whatever the sink does. A write that outlives it is not waited for, and
 *      the guard stays until it has ended, so that nobody delivers beside it.
 *  D6  Nothing is opened, written or saved without the guard.
 *
 * Only the scheduler calls `turn`; answers call `wake`.
 */
import { TraceletError, toErrorRecord } from '../../core/errors.ts'
import type { OpenResult, Sink, SinkState } from '../../core/types.ts'
import { Calls, closeSink, openSink, within } from './calls.ts'
import type { Cargo, Sending } from './cargo.ts'
import { Health } from './health.ts'
import { Ledger } from './ledger.ts'
import { PROBE_MS } from './limiter.ts'
import { makeSink, StopAsked } from './make-sink.ts'
import type { DeliveryGuard, DeliverySite } from './site.ts'
import { Trouble } from './trouble.ts'

/** What is under way is aborted this long before the deadline, so that there is time to close. */
const CLOSE_MS = 200
const BUSY_RETRY_MS = 5_000
/**
 * A call that is under way when the run ends and has not been answered for so long: its connection may be dead, and
 * the time is better spent on another try. Longer than servers take that live.
 */
const LAST_PATIENCE_MS = 30_000

type Phase = 'parked' | 'opening' | 'open' | 'parking' | 'closing' | 'closed'

export class Delivery {
  readonly #site: DeliverySite
  readonly #cargo: Cargo
  readonly #health: Health
  readonly #trouble: Trouble
  readonly #calls: Calls
  readonly #stopAsked = new StopAsked()
  readonly #wake: () => void
  #phase: Phase = 'parked'
  #ledger: Ledger | undefined
  #guard: DeliveryGuard | undefined
  #sink: Sink | undefined
  #sender: Sending | undefined
  #hasOpened = false
  /** As it was parked the last time. */
  #isSendingInTrouble = false
  #isFinishing = false
  #mustPark = false
  #slot: 'none' | 'asked' | 'taken' = 'none'
  /** The cargo's growth at the last turn. */
  #seen = 0
  #deadlineAt = Infinity
  #abortAt = Infinity

  constructor(site: DeliverySite, cargo: Cargo) {
    this.#site = site
    this.#cargo = cargo
    this.#wake = () => site.wake(this)
    this.#calls = new Calls(this.#wake)
    const { run, name: destination } = site
    const { block, backlog, accountName: account } = site
    this.#health = new Health({
      block,
      ...(backlog && { backlog }),
      ...(account !== undefined && { account }),
      tell: (severity, code, message, outage) =>
        site.tell({
          type: 'issue',
          run: run.id,
          destination,
          severity,
          issue: { code, message },
          ...(outage && { outage }),
        }),
    })
    this.#trouble = new Trouble(site.account, this.#health, site.random)
  }

  get run(): string {
    return this.#site.run.id
  }

  get isClosed(): boolean {
    return this.#phase === 'closed'
  }

  /** Whether there may be more to read than at the last turn. */
  get hasGrown(): boolean {
    return this.#cargo.growth() !== this.#seen
  }

  /** Open with nothing to do. */
  get isIdle(): boolean {
    return this.#phase === 'open' && this.#sender!.isIdle(this.#site.journalSeq())
  }

  /** The state that finds the remote run, once there is one and it is safe on disk. */
  get remote(): { readonly state: SinkState } | undefined {
    const ledger = this.#ledger
    if (ledger === undefined) return undefined
    const isSafe = ledger.isOnDisk || (this.#hasOpened && !ledger.isDirty)
    return isSafe ? { state: ledger.cursor.state } : undefined
  }

  /** @param deadlineAt monotonic ms */
  finish(deadlineAt: number, now: number): void {
    this.#isFinishing = true
    this.#trouble.finish(now)
    this.#calls.limit(LAST_PATIENCE_MS)
    this.#deadlineAt = deadlineAt
    this.#abortAt = deadlineAt - Math.min(CLOSE_MS, Math.max(0, deadlineAt - now) / 2)
    this.#wake()
  }

  /** Settles what is under way and gives its slot back; it opens again in its turn. */
  park(): void {
    this.#mustPark = true
    this.#wake()
  }

  /** Every GUARD_TOUCH_MS. */
  touch(): void {
    if (this.#guard === undefined || this.#guard.touch()) return
    this.#guard = undefined
    if (this.#phase === 'closing' || this.#phase === 'closed' || this.#retakeGuard()) return
    this.#giveUp('another process has taken over its delivery')
  }

  /** Does one thing. Returns the monotonic time of the next turn: now for at once, Infinity for when woken. */
  turn(now: number): number {
    this.#seen = this.#cargo.growth()
    if (this.#phase === 'closing' || this.#phase === 'closed') return Infinity
    if (this.#site.isSuperseded()) return this.#giveUp('another drain thread has taken over')
    if (now >= this.#abortAt) return this.#giveUp('the deadline passed')
    const next = this.#step(now)
    if (this.#ledger !== undefined) this.#cargo.look?.(this.#ledger, now)
    if (this.#hasToSend) this.#trouble.waitWithOthers(now)
    if (this.#isHopeless) return this.#giveUp('nothing is taken before the deadline')
    return Math.min(next, this.#abortAt)
  }

  #step(now: number): number {
    try {
      if (this.#phase === 'parked') return this.#unpark(now)
      return this.#phase === 'open' ? this.#work(now) : Infinity
    } catch (error) {
      if (this.#phase === 'parked') this.#giveSlot()
      this.#failed(error, now)
      return this.#trouble.notBefore
    }
  }

  /** What has a code of ours (an option, a newer format) does not mend itself, unlike a disk. */
  #failed(error: unknown, now: number): void {
    const { code, message } = toErrorRecord(error, 'ERR_JOURNAL_DAMAGED')
    if (error instanceof TraceletError) this.#trouble.block(code, message, PROBE_MS, now)
    else this.#trouble.stumble(code, message, now)
  }

  get #hasToSend(): boolean {
    if (this.#phase === 'open') return this.#calls.size === 0 && !this.isIdle
    return this.#phase === 'parked' && !this.#hasOpened && this.#cargo.opensAnyway
  }

  /** Nothing more is sent before the deadline, and no answer is to come that could change it. */
  get #isHopeless(): boolean {
    if (!this.#isFinishing || this.#phase === 'closing' || this.#calls.size > 0) return false
    if (this.#trouble.isBlocked || this.#trouble.notBefore >= this.#abortAt) return true
    return this.#hasToSend && this.#site.account.turnstile.restUntil >= this.#abortAt
  }

  // ── parked, opening ──────────────────────────────────────────────────────────────────────────────────

  #unpark(now: number): number {
    const next = this.#whyNot(now)
    if (next === undefined) return this.#open(now)
    // whoever has no use for a slot any more must not keep it from others
    this.#giveSlot()
    return next
  }

  /** Undefined: it is to be opened. */
  #whyNot(now: number): number | undefined {
    if (this.#trouble.notBefore > now) return this.#trouble.notBefore
    const isAtRest = this.#isFinishing || this.#site.live === undefined
    const ask = this.#cargo.ask(this.#ledger, isAtRest, now)
    if (typeof ask === 'number') return ask
    if (typeof ask === 'object') return this.#giveUp(ask.hopeless)
    if (ask === 'end') {
      void this.#close('')
      return Infinity
    }
    if (!this.#takeGuard(now)) return this.#trouble.notBefore
    if (this.#ledger !== undefined) return undefined
    this.#loadLedger()
    return now
  }

  #open(now: number): number {
    const roomAt = this.#site.account.roomAt(this.#wake)
    if (roomAt > now) return roomAt
    if (!this.#takeSlot(now)) return Infinity
    const readyAt = this.#site.account.readyAt(this.#wake, now)
    if (readyAt > now) return readyAt
    const sink = makeSink(this.#site, this.#health, this.#stopAsked)
    this.#phase = 'opening'
    this.#sink = sink
    this.#site.account.begin(this.#wake, now)
    this.#calls.track(async (signal) => {
      const result = await openSink(sink, this.#cargo.openState(this.#ledger!), signal)
      if (this.#phase === 'opening') await this.#opened(sink, result, now)
      this.#site.account.end()
    })
    return Infinity
  }

  #takeSlot(now: number): boolean {
    if (this.#slot !== 'taken') {
      this.#mustPark = false
      this.#slot = this.#site.takeSlot(this, now) ? 'taken' : 'asked'
    }
    return this.#slot === 'taken'
  }

  /** Its slot, or its place in the queue for one. */
  #giveSlot(): void {
    if (this.#slot === 'none') return
    this.#slot = 'none'
    this.#site.giveSlot(this)
  }

  #loadLedger(): void {
    const { cursors, address, block } = this.#site
    this.#ledger = new Ledger(cursors, address, block)
    this.#cargo.loaded(this.#ledger)
    if (this.#ledger.isOnDisk) this.#site.onLandmark?.()
  }

  #takeGuard(now: number): boolean {
    try {
      this.#guard ??= this.#site.takeGuard()
      return true
    } catch (error) {
      const { code, message } = toErrorRecord(error, 'ERR_RUN_BUSY')
      // a disk mends itself, unlike one who holds the guard
      if (code === 'ERR_JOURNAL_WRITE') this.#trouble.stumble(code, message, now)
      else this.#trouble.block(code, message, BUSY_RETRY_MS, now)
      return false
    }
  }

  /** A guard that was deleted, as with the run's folder, is no other's if nobody has moved the cursor since. */
  #retakeGuard(): boolean {
    const { cursors, address, takeGuard } = this.#site
    try {
      const guard = takeGuard()
      const saved = cursors.load(address)
      if (saved === undefined) this.#ledger?.touch()
      else if (saved.seq !== this.#ledger?.cursor.seq) {
        guard.release()
        return false
      }
      this.#guard = guard
      return true
    } catch {
      return false
    }
  }

  async #opened(sink: Sink, result: OpenResult, askedAt: number): Promise<void> {
    const now = this.#site.now()
    if ('restMs' in result) this.#site.account.turnstile.rest(result.restMs, now)
    if (result.status === 'retry') this.#trouble.retry(result, now)
    else if (result.status === 'blocked') this.#trouble.blocked(result, now)
    else {
      try {
        this.#startSending(sink)
        // that the run can be opened does not say that what was refused is taken now
        if (!this.#isSendingInTrouble) this.#trouble.recovered(now, askedAt)
        this.#cargo.opened(result, this.#ledger!)
        // A remote run that was made must be known after a crash.
        if (this.#ledger!.isDirty) this.#save(now)
        this.#site.onLandmark?.()
        return
      } catch (error) {
        this.#failed(error, now)
      }
    }
    await this.#park()
  }

  #startSending(sink: Sink): void {
    this.#sender = this.#cargo.startSending({
      site: this.#site,
      sink,
      ledger: this.#ledger!,
      health: this.#health,
      trouble: this.#trouble,
      track: (call, patience) => this.#calls.track(call, patience),
      wake: this.#wake,
    })
    this.#phase = 'open'
    this.#hasOpened = true
  }

  // ── open ─────────────────────────────────────────────────────────────────────────────────────────────

  #work(now: number): number {
    const ledger = this.#ledger!
    const sender = this.#sender!
    if (ledger.saveAt <= now) this.#save(now)
    // An opening is not spent on nothing: the account's queue may be longer than the time of a place.
    const mayPark =
      sender.hasHadTurn || this.isIdle || this.#trouble.notBefore > now || this.#site.account.isBlocked
    if (this.#mustPark && mayPark) {
      if (sender.underWay > 0) return Infinity
      if (ledger.isDirty) this.#save(now)
      // Opened again behind its sums and state, it would count and append what lies between once more.
      if (ledger.isDirty) return ledger.saveAt
      this.#calls.track(() => this.#park())
      return Infinity
    }
    const next = sender.send(this.#isFinishing || this.#site.live === undefined, now)
    if (next !== 'settled') return Math.min(next, ledger.saveAt)
    void this.#close('')
    return Infinity
  }

  /** A disk that refuses is told of, and tried again in its time: the items come again, which a sink bears. */
  #save(now: number): void {
    try {
      if (this.#guard === undefined) return
      const isFirst = !this.#ledger!.isOnDisk
      this.#sender!.save(now)
      this.#health.diskWorks(now)
      if (isFirst) this.#site.onLandmark?.()
    } catch (error) {
      const { code, message } = toErrorRecord(error, 'ERR_JOURNAL_WRITE')
      this.#health.diskFails(code, message, now)
    }
  }

  async #park(): Promise<void> {
    const sink = this.#sink
    if (this.#sender !== undefined) this.#isSendingInTrouble = this.#health.failures > 0
    this.#sender?.seal()
    this.#cargo.rest()
    this.#sender = undefined
    this.#sink = undefined
    this.#phase = 'parking'
    await closeSink(sink, this.#deadlineAt - this.#site.now())
    // The deadline may have come meanwhile.
    if (this.#phase === 'parking') this.#phase = 'parked'
    this.#giveSlot()
  }

  // ── closing ──────────────────────────────────────────────────────────────────────────────────────────

  #giveUp(why: string): number {
    this.#calls.abort(why)
    const { reason } = this.#trouble
    // a call that was aborted for it may have said so
    void this.#close(reason === '' || reason.startsWith(why) ? reason || why : `${why}; ${reason}`)
    return Infinity
  }

  /** @param reason why it is not complete; '' when everything is settled */
  async #close(reason: string): Promise<void> {
    this.#phase = 'closing'
    const leftMs = () => this.#deadlineAt - this.#site.now()
    // A sink that heeds its signal answers at once, and its answer counts.
    if (this.#calls.size > 0) await within(this.#calls.settled(), leftMs() / 2)
    if (this.#ledger?.isDirty && this.#sender !== undefined) this.#save(this.#site.now())
    // nothing may be saved here again: retention would keep what only the copy needs for ever
    if (this.#ledger?.isCopyBehind && this.#sender !== undefined) this.#save(this.#site.now())
    this.#sender?.seal()
    this.#cargo.rest()
    await closeSink(this.#sink, leftMs() / 2)
    this.#giveSlot()
    this.#site.account.forget(this.#wake)
    const guard = this.#guard
    this.#guard = undefined
    if (this.#calls.size === 0) guard?.release()
    else void this.#calls.settled().then(() => guard?.release())
    this.#phase = 'closed'
    this.#health.closed()
    const { run, name: destination } = this.#site
    this.#site.tell({ type: 'closed', run: run.id, destination, complete: reason === '', reason })
    this.#site.onLandmark?.()
    this.#wake()
  }
}
