/**
 * How large messages are: 16 to 24 KB cost the server least a value, and it does nothing else while it works on one. A
 * server that takes long for each gets smaller ones.
 */

const MOST_BYTES = 22 * 1024
const LEAST_BYTES = 6 * 1024
/** The server should not be held for longer by one message. */
const SLOW_MS = 50
/** Of what the rule would have it, so that one stall changes little. */
const SHRINK = 0.8
const GROW_BYTES = 512

export class Pace {
  #messageBytes = MOST_BYTES
  #underWay = 0
  /** When the server could begin with the first that is under way. */
  #since = 0

  get messageBytes(): number {
    return Math.floor(this.#messageBytes)
  }

  /** @param now monotonic ms */
  begin(now: number): void {
    if (this.#underWay++ === 0) this.#since = now
  }

  end(now: number, bytes: number): void {
    const took = now - this.#since
    this.#since = now
    this.#underWay--
    // media are large by nature
    if (bytes > 2 * MOST_BYTES) return
    if (took > SLOW_MS) this.#messageBytes = Math.max(LEAST_BYTES, this.#messageBytes * SHRINK)
    else this.#messageBytes = Math.min(MOST_BYTES, this.#messageBytes + GROW_BYTES)
  }
}
