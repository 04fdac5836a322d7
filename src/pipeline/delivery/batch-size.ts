/**
 * How large a batch an account takes, where that is less than its sink declares: learned from its refusals (a proxy
 * before it with a limit of its own), for all runs at it.
 */

/** After so long a larger one is tried: a limit may have been raised. Each try that fails costs one request. */
const GROW_MS = 600_000

export class BatchSize {
  #limit = Infinity
  #growAt = 0

  /** Most items (points, rows) that should be sent at once. */
  get limit(): number {
    return this.#limit
  }

  /** So many were too large. */
  refused(items: number, now: number): void {
    this.#limit = Math.max(1, Math.min(this.#limit, items >> 1))
    this.#growAt = now + GROW_MS
  }

  took(items: number, now: number): void {
    if (items < this.#limit || now < this.#growAt) return
    this.#limit *= 2
    this.#growAt = now + GROW_MS
  }
}
