/** Waiting for what the parking threads of a run still have: its own thread's and those of attached threads. */
import { monotonicNow } from '../core/clock.ts'
import { PARKED_COUNTED, PRODUCER, RUN, runCounters, sumOverProducers } from '../core/counters.ts'

const POLL_MS = 2
/** How much longer than the deadline a parking thread has to say that it has given something up. */
const GIVE_UP_MS = 500
/** Without a sign of life for so long, the thread that parked it was terminated, and its parking thread with it. */
const STILL_MS = 15_000
const NEVER = new Int32Array(new SharedArrayBuffer(4))

export class Parked {
  readonly #counters: SharedArrayBuffer
  #beat = -1
  #beatAt = 0

  constructor(counters: SharedArrayBuffer) {
    this.#counters = counters
  }

  /** Whether anything was ever parked. */
  get any(): boolean {
    return this.#sum(PRODUCER.recordsParked) > 0
  }

  /** Everything parked so far is in a lane, or counted as lost, when this resolves true. */
  async untilTaken(deadlineAt: number): Promise<boolean> {
    const parked = this.#sum(PRODUCER.recordsParked)
    while (this.#sum(PRODUCER.recordsUnparked) < parked) {
      if (monotonicNow() >= deadlineAt) return false
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    return true
  }

  /** Tells parking threads when to give up, and waits until they have: see `countLeft`. */
  async end(deadlineAt: number): Promise<void> {
    this.#setDeadline(deadlineAt)
    while (this.#isUnderWay(deadlineAt)) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }

  /** The same, blocking this thread. */
  endSync(deadlineAt: number): void {
    this.#setDeadline(deadlineAt)
    while (this.#isUnderWay(deadlineAt)) Atomics.wait(NEVER, 0, 0, POLL_MS)
  }

  /**
   * Refuses what comes later; counts what nobody has settled as lost, in the block of the run's owner: its threads are gone or hang.
   * @returns how many records
   */
  countLeft(counts: Float64Array): number {
    // what is logged from here on is refused
    this.#setDeadline(monotonicNow())
    if (this.#left <= 0) return 0
    // should a thread still live, it must not count them again
    this.#setDeadline(PARKED_COUNTED)
    const left = this.#left
    counts[PRODUCER.recordsLost]! += left
    counts[PRODUCER.recordsUnparked]! += left
    return left
  }

  /** Nothing was parked: what is logged from here on is refused. */
  close(): void {
    this.#setDeadline(monotonicNow())
  }

  get #left(): number {
    // settled first: one must not be settled before it was parked
    const unparked = this.#sum(PRODUCER.recordsUnparked)
    return this.#sum(PRODUCER.recordsParked) - unparked
  }

  #isUnderWay(deadlineAt: number): boolean {
    if (this.#left <= 0) return false
    const now = monotonicNow()
    const beat = this.#sum(PRODUCER.parkingBeat) + this.#sum(PRODUCER.recordsUnparked)
    if (beat !== this.#beat) {
      this.#beat = beat
      this.#beatAt = now
    }
    return now < deadlineAt + GIVE_UP_MS && now - this.#beatAt < STILL_MS
  }

  #setDeadline(at: number): void {
    runCounters(this.#counters)[RUN.parkedUntil] = at
  }

  #sum(word: number): number {
    return sumOverProducers(this.#counters, word)
  }
}
