/**
 * How long a call is waited for. A connection that died without a word is left soon, but a server that is slow is
 * not: what is given up may be carried out all the same, and doubles its work.
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

/** For calls of rows. */
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

/**
 * A call that sends nothing for so long is taken for dead, however long it has been sending before: and when all is
 * sent, so much longer as a server takes to put it into its store. More each time that this ends a step of the
 * record, so that it comes to an end however slow the store is.
 */
const SILENCE_MS = 120_000
const STORED_BYTES_PER_MS = 50_000
const LEAST_BYTES_PER_MS = 1_000
const LONGEST_STORING_MS = 3_600_000

/** @param silences how often a step of the same record was given up */
export function uploadSilenceMs(bytes: number, silences: number): number {
  const forBytes = Math.min((bytes / STORED_BYTES_PER_MS) * 2 ** silences, bytes / LEAST_BYTES_PER_MS)
  return SILENCE_MS + Math.min(LONGEST_STORING_MS, forBytes)
}
