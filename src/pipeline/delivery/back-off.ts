/** Exponential back-off with full jitter: a random wait below a ceiling that doubles with each failure in a row. */

export const FIRST_CEILING_MS = 500
export const LAST_CEILING_MS = 30_000

/** @param failures in a row, 1 or more */
export function backOffMs(failures: number, lastCeilingMs: number, random: () => number): number {
  const ceiling = Math.min(lastCeilingMs, FIRST_CEILING_MS * 2 ** Math.min(failures - 1, 20))
  return random() * ceiling
}
