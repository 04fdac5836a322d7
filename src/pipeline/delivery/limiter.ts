/**
 * What all runs of a thread at one account share: how many writes may be under way and how large, until when the
 * account asked for silence, how long it has been out of reach, and whether it refuses everything.
 */
import type { ErrorCode } from '../../core/errors.ts'
import { backOffMs, LAST_CEILING_MS } from './back-off.ts'
import { BatchSize } from './batch-size.ts'
import { Patience } from './patience.ts'

/** How often a destination that refuses everything is tried. */
export const PROBE_MS = 30_000

export interface OutageCause {
  readonly code: ErrorCode
  readonly reason: string
}

export class Account {
  readonly batchSize: BatchSize = new BatchSize()
  readonly patience: Patience = new Patience()
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

  constructor(maxInFlight: number) {
    this.#maxInFlight = maxInFlight
  }

  get isBlocked(): boolean {
    return this.#probeAt > 0
  }

  /**
   * When a write may start: `now` or earlier for at once, Infinity when `wake` will tell.
   */
  readyAt(wake: () => void): number {
    if (this.#inFlight >= this.#maxInFlight || this.#isProbing) {
      this.#waiting.add(wake)
      return Infinity
    }
    return Math.max(this.#pausedUntil, this.#probeAt)
  }

  begin(): void {
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
  }

  /** All of them: one who is woken may have nothing to send any more. The scheduler keeps their order. */
  #wakeAll(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}
