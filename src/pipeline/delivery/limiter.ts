/**
 * What all runs of a thread at one account share: how many writes may be under way, until when the account asked
 * for silence, and whether it refuses everything.
 */

/** How often a destination that refuses everything is tried. */
export const PROBE_MS = 30_000

export class Account {
  readonly #maxInFlight: number
  #inFlight = 0
  #pausedUntil = 0
  /** Monotonic ms of the next try while the account refuses everything; 0 while it does not. */
  #probeAt = 0
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

  block(now: number): void {
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
