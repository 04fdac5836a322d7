/** Seeded randomness for tests: a failure prints the seed, TRACELET_TEST_SEED repeats it. */

export const SEED = Number(process.env.TRACELET_TEST_SEED ?? Date.now() % 2 ** 31)

export class Random {
  #state: number

  constructor(seed = SEED) {
    this.#state = seed >>> 0 || 1
  }

  /** Uniform in [0, 1); mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** Integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!
  }

  /** A double of random bits; finite. */
  double(): number {
    const bits = new DataView(new ArrayBuffer(8))
    for (;;) {
      bits.setUint32(0, this.below(2 ** 32))
      bits.setUint32(4, this.below(2 ** 32))
      const value = bits.getFloat64(0)
      if (Number.isFinite(value)) return value
    }
  }
}
