import type { LogCost } from '../report.ts'

/** Times every call of a loop on the monotonic clock; two readings a call, some 50 ns, are part of what it shows. */
export class CallTimer {
  readonly #durationsMs: Float64Array
  #calls = 0
  #totalMs = 0
  #startedAt = 0
  #loopMs = 0

  /** @param maxCalls calls beyond it are counted and summed, but not ranked */
  constructor(maxCalls: number) {
    this.#durationsMs = new Float64Array(maxCalls)
  }

  loop<Result>(body: () => Result): Result {
    this.#startedAt = performance.now()
    try {
      return body()
    } finally {
      this.#loopMs = performance.now() - this.#startedAt
    }
  }

  call(body: () => void): void {
    const before = performance.now()
    body()
    const durationMs = performance.now() - before
    this.#durationsMs[this.#calls++] = durationMs
    this.#totalMs += durationMs
  }

  cost(): LogCost {
    const sorted = this.#durationsMs.slice(0, this.#calls).sort()
    const at = (share: number) =>
      (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 1e6
    return {
      calls: this.#calls,
      p50Ns: at(0.5),
      p99Ns: at(0.99),
      maxNs: at(1),
      totalMs: this.#totalMs,
      loopMs: this.#loopMs,
    }
  }
}
