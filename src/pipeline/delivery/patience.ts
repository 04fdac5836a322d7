/**
 * How long a call of rows is waited for. A connection that died without a word is left soon, but a server that is
 * slow is not: what is given up may be carried out all the same, and doubles its work.
 */

/** MLflow on SQLite took up to 26 s for a request while it was loaded. */
const PATIENCE_MS = 60_000
/** Of an answer as slow as those before. */
const TIMES_SLOWEST = 3
const LONGEST_MS = 180_000
/** For calls that were given up again and again: a record may take many requests. */
const LONGEST_AGAIN_MS = 3_600_000
/** With each answer that is quicker. */
const FORGETS = 0.9

export class Patience {
  #slowestMs = 0

  /** A call was answered, whatever the answer. */
  answered(afterMs: number): void {
    this.#slowestMs = Math.max(afterMs, this.#slowestMs * FORGETS)
  }

  /** @param silences how often the same was given up */
  ms(silences: number): number {
    const once = Math.min(LONGEST_MS, Math.max(PATIENCE_MS, TIMES_SLOWEST * this.#slowestMs))
    return Math.min(LONGEST_AGAIN_MS, once * 2 ** silences)
  }
}
