/** Shared words of a thread that logs and its parking thread: how far that is, to be had without its event loop. */

/** Int32 indices, written by the parking thread but for `told`. */
export const LEDGER = {
  /** Jobs of that class that were put into the lane or given up; artifacts are answered each. */
  media: 0,
  /** Number of the last issue that the user was told, by whichever thread moved it on. */
  told: 1,
  /** Grows with every job that is done; what waits for one waits on it. */
  changes: 2,
} as const
/** Float64 index: bytes of all jobs done. */
export const FREED_BYTES = 2
export const LEDGER_BYTES = 24

/** Whether this thread is the one to tell the user of the issue: each is told once, in order. */
export function takeIssue(words: Int32Array, number: number): boolean {
  return Atomics.compareExchange(words, LEDGER.told, number - 1, number) === number - 1
}
