/**
 * How often calls may begin at an account, rows and uploads together, and until when it asked for none.
 *
 *  T1  In no second more begin than the account's limit, and no more than a quarter of that at once: of the last
 *      `burst` that began, the first is a window old.
 *  T2  Whoever comes first is first. One that must wait is told when its turn is likely to be; who has not come soon
 *      after loses its place, so that nobody waits for one that has nothing to send any more.
 */

/** Of a second: so much may begin at once. */
const BURST_PARTS = 4
/** A thread that is busy comes later than told. */
const KEPT_MS = 250

interface Place {
  readonly number: number
  /** When it was told to come. */
  dueAt: number
}

export class Turnstile {
  /** Between two, when all wait. */
  readonly gapMs: number
  readonly #windowMs: number
  /** When the last ones began, oldest at `#oldest`. */
  readonly #begun: Float64Array
  #oldest = 0
  /** In the order of their numbers. */
  readonly #queue = new Map<object, Place>()
  #lastNumber = 0
  #restUntil = 0

  /** @param perSecond default: no limit */
  constructor(perSecond = Infinity) {
    const burst = perSecond === Infinity ? 0 : Math.max(1, Math.floor(perSecond / BURST_PARTS))
    // whole windows in a second, so that no second has more than that many bursts
    const perWindow = perSecond < 1 ? 1 / perSecond : 1 / Math.floor(perSecond / burst)
    this.#windowMs = burst === 0 ? 0 : 1_000 * perWindow
    this.#begun = new Float64Array(burst).fill(-Infinity)
    this.gapMs = burst === 0 ? 0 : this.#windowMs / burst
  }

  /** Monotonic ms before which the account wants nothing, though nothing is wrong. */
  get restUntil(): number {
    return this.#restUntil
  }

  /** @param forMs as a sink said: what is no number says nothing */
  rest(forMs: number | undefined, now: number): void {
    if (forMs !== undefined && forMs > 0) this.#restUntil = Math.max(this.#restUntil, now + forMs)
  }

  /** When `who` may begin, `now` or earlier for at once; it keeps its place when it asks again then. */
  readyAt(who: object, now: number): number {
    if (this.#begun.length === 0) return now
    const freeAt = this.#begun[this.#oldest]! + this.#windowMs
    let place = this.#queue.get(who)
    if (place === undefined) {
      if (this.#queue.size === 0 && freeAt <= now) return now
      place = { number: ++this.#lastNumber, dueAt: now }
      this.#queue.set(who, place)
    }
    place.dueAt = Math.max(freeAt, now) + this.#ahead(place, now) * this.gapMs
    return place.dueAt
  }

  begin(who: object, now: number): void {
    if (this.#begun.length === 0) return
    this.#queue.delete(who)
    this.#begun[this.#oldest] = now
    this.#oldest = (this.#oldest + 1) % this.#begun.length
  }

  forget(who: object): void {
    this.#queue.delete(who)
  }

  /** How many are before it, or somewhat more; those that have not come are taken out. */
  #ahead(place: Place, now: number): number {
    for (const [who, first] of this.#queue) {
      if (first === place) return 0
      if (now <= Math.max(first.dueAt, this.#restUntil) + KEPT_MS) return place.number - first.number
      this.#queue.delete(who)
    }
    return 0
  }
}
