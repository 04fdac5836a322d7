/** A loop as a training loop is: synchronous, with a steady number of calls a second. */

export interface PacedResult {
  readonly calls: number
  /** Calls that took longer than 10 ms, by when they began. */
  readonly slowAtMs: readonly number[]
  readonly longestMs: number
}

const TICK_MS = 1
const SLOW_MS = 10
const nothing = new Int32Array(new SharedArrayBuffer(4))

/**
 * Calls `call(0)`, `call(1)`, … for a while, without ever giving the event loop a turn.
 * @param everyTick called about once a millisecond, not timed
 */
export function paced(
  callsPerSecond: number,
  durationMs: number,
  call: (index: number) => void,
  everyTick: (elapsedMs: number) => void = () => {},
): PacedResult {
  const total = Math.round((callsPerSecond * durationMs) / 1000)
  const began = performance.now()
  let calls = 0
  const slowAtMs: number[] = []
  let longestMs = 0
  while (calls < total) {
    Atomics.wait(nothing, 0, 0, TICK_MS)
    const elapsedMs = performance.now() - began
    everyTick(elapsedMs)
    const due = Math.min(total, Math.floor((elapsedMs / 1000) * callsPerSecond))
    for (; calls < due; calls++) {
      const before = performance.now()
      call(calls)
      const tookMs = performance.now() - before
      if (tookMs > longestMs) longestMs = tookMs
      if (tookMs > SLOW_MS) slowAtMs.push(before - began)
    }
  }
  return { calls, slowAtMs, longestMs }
}
