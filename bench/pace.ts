/** Calls at a steady rate, each timed. */

/**
 * @returns ns of each call, ascending, the reading of the clock included
 */
export function paced(call: (i: number) => void, calls: number, perSecond: number): Float64Array {
  const latencies = new Float64Array(calls)
  const gapMs = 1000 / perSecond
  const start = performance.now()
  for (let i = 0; i < calls; i++) {
    const due = start + i * gapMs
    let before = performance.now()
    while (before < due) before = performance.now()
    call(i)
    latencies[i] = performance.now() - before
  }
  for (let i = 0; i < calls; i++) latencies[i] = latencies[i]! * 1e6
  return latencies.sort()
}
