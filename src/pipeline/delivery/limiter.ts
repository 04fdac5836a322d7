/**
 * What all runs of a thread at one account share: how many writes may be under way and how large, how often they
 * may begin, until when the account asked for silence, how long it has been out of reach, and whether it refuses everything.
 */
import type { ErrorCode } from '../../core/errors.ts'
import { backOffMs, LAST_CEILING_MS } from './back-off.ts'
import { BatchSize } from './batch-size.ts'
import { ParkedBeats } from './heartbeat.ts'
import { Patience } from './patience.ts'
import { Turnstile } from './turnstile.ts'

/** How often a destination that refuses everything is tried. */
export const PROBE_MS = 30_000

export interface OutageCause {
  readonly code: ErrorCode
  readonly reason: string
}

export class Account {
  readonly batchSize: BatchSize = new BatchSize()
  readonly patience: Patience = new Patience()
  /** Shared with the account's uploads, or its rows. */
  readonly turnstile: Turnstile
  readonly parkedBeats: ParkedBeats
  readonly #maxInFlight: number
  #inFlight = 0
  #pausedUntil = 0
  /** Failures of any run, one after the other. */
  #failures = 0
  readonly #failing = new Set<object>()
  #outageUntil = 0
  #cause: OutageCause | undefined
  /** Monotonic ms of the next try while the account refuses everything; 0 while it does not. */
  #probeAt = 0
  #blockedAt = -Infinity
  #refusal: OutageCause | undefined
  #isProbing = false
  /** Whoever found no room or is kept from writing by another's probe, first come first. */
  readonly #waiting = new Set<() => void>()

  constructor(maxInFlight: number, turnstile: Turnstile = new Turnstile()) {
    this.#maxInFlight = maxInFlight
    this.turnstile = turnstile
    this.parkedBeats = new ParkedBeats(turnstile)
  }

  get isBlocked(): boolean {
    return this.#probeAt > 0
  }

  /**
   * When there is room for a call: `now` or earlier for at once, Infinity when `wake` will tell.
   */
  roomAt(wake: () => void): number {
    if (this.#inFlight >= this.#maxInFlight || this.#isProbing) {
      this.#waiting.add(wake)
      return Infinity
    }
    return Math.max(this.#pausedUntil, this.#probeAt, this.turnstile.restUntil)
  }

  /**
   * When a call may begin. To be asked by one who would begin at once: it is promised a place in the queue.
   */
  readyAt(wake: () => void, now: number): number {
    const roomAt = this.roomAt(wake)
    return roomAt > now ? roomAt : this.turnstile.readyAt(wake, now)
  }

  begin(wake: () => void, now: number): void {
    this.turnstile.begin(wake, now)
    this.#inFlight++
    if (this.isBlocked) this.#isProbing = true
  }

  /** A write has been answered, whatever the answer. */
  end(): void {
    this.#inFlight--
    this.#isProbing = false
    this.#wakeAll()
  }

  /** Until when nothing of this account should be sent, as far as it has told. */
  get pausedUntil(): number {
    return this.#pausedUntil
  }

  pause(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, until)
  }

  /** Monotonic ms before which a run had better not try what others have tried in vain. */
  get outageUntil(): number {
    return this.#outageUntil
  }

  /** What those have met who tried; undefined while there is no outage. */
  get outage(): OutageCause | undefined {
    return this.#outageUntil > 0 ? this.#cause : undefined
  }

  /** A call of any run was not taken: hundreds of them together must not try more often than one alone. */
  failed(who: object, now: number, random: () => number, cause: OutageCause): void {
    this.#cause = cause
    this.#failing.add(who)
    const inRow = ++this.#failures - this.#maxInFlight
    // one that fails alone while the others have nothing to send says nothing about them
    if (inRow > 0 && this.#failing.size > 1)
      this.#outageUntil = now + backOffMs(inRow, LAST_CEILING_MS, random)
  }

  /** It gave a whole answer, if only a refusal. */
  reached(): void {
    this.#failures = 0
    this.#failing.clear()
    this.#outageUntil = 0
  }

  /** Monotonic ms at which it was last refused. */
  get blockedAt(): number {
    return this.#blockedAt
  }

  /** Why it refuses everything, as those have met who tried; undefined while it does not. */
  get refusal(): OutageCause | undefined {
    return this.isBlocked ? this.#refusal : undefined
  }

  block(now: number, refusal: OutageCause): void {
    this.#refusal = refusal
    this.#blockedAt = now
    this.#probeAt = Math.max(this.#probeAt, now + PROBE_MS)
  }

  /** It took something. */
  recovered(): void {
    if (!this.isBlocked) return
    this.#probeAt = 0
    this.#wakeAll()
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake)
    this.turnstile.forget(wake)
  }

  /** All of them: one who is woken may have nothing to send any more. The scheduler keeps their order. */
  #wakeAll(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}
