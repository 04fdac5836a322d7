/**
 * When a run at a destination that wants signs of life gives one.
 *
 *  While it is open: after `limits.beatMs` in which no call began. While it is parked, since others need its slot, it
 *  opens again for one: after PARKED_BEAT_MS at the earliest, and in the queue of its account (`ParkedBeats`). So a
 *  thousand runs that have nothing to send cost an account no more than its 64 open ones and that queue.
 */
import type { Turnstile } from './turnstile.ts'

const PARKED_BEAT_MS = 60_000
/** Between two runs that open for a beat … */
const PARKED_GAP_MS = 100
/** … and of what an account takes in a second: an opening and a beat in so many. */
const PARKED_SHARE = 8

/** Times at which parked runs of one account may open for a beat. */
export class ParkedBeats {
  readonly #turnstile: Turnstile
  #lastAt = -Infinity

  constructor(turnstile: Turnstile) {
    this.#turnstile = turnstile
  }

  take(now: number): number {
    const gapMs = Math.max(PARKED_GAP_MS, PARKED_SHARE * this.#turnstile.gapMs)
    this.#lastAt = Math.max(now, this.#lastAt + gapMs)
    return this.#lastAt
  }
}

export class Heartbeat {
  #everyMs: number
  readonly #parked: ParkedBeats
  #calledAt = -Infinity
  #isOwed = false
  #openAt: number | undefined

  /** @param everyMs undefined: never */
  constructor(everyMs: number | undefined, parked: ParkedBeats) {
    this.#everyMs = everyMs ?? Infinity
    this.#parked = parked
  }

  /** It is opened for nothing else, or the last one was not taken. */
  get isOwed(): boolean {
    return this.#isOwed
  }

  /** Monotonic ms of the next one while the run is open, should no call begin before. */
  get dueAt(): number {
    return this.#isOwed ? this.#calledAt : this.#calledAt + this.#everyMs
  }

  /** A call of the sink begins, or the run has been opened. */
  called(now: number): void {
    this.#calledAt = now
    this.#isOwed = false
  }

  /** The sink has none to give. */
  cease(): void {
    this.#everyMs = Infinity
    this.#isOwed = false
  }

  /** As soon as calls may begin again. */
  owe(): void {
    this.#isOwed = true
  }

  /** When a parked run is to be opened for one. */
  openAt(now: number): number {
    const dueAt = this.#calledAt + Math.max(this.#everyMs, PARKED_BEAT_MS)
    if (this.#openAt !== undefined || now < dueAt) return this.#openAt ?? dueAt
    this.#openAt = this.#parked.take(now)
    return this.#openAt
  }

  opened(now: number): void {
    this.called(now)
    if (this.#openAt !== undefined) this.owe()
    this.#openAt = undefined
  }
}
