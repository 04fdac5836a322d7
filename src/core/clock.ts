/** The monotonic clock, the same in every thread of the process (`performance.now()` starts anew in each). */
export function monotonicNow(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
