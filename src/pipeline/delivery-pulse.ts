/**
 * Notices a delivery thread that stands still: a sink that computes without end, or a disk that does not answer. It is
 * told of, not replaced: one that waits for a disk cannot be ended, and its successors would wait beside it.
 */

const LOOK_MS = 10_000
/** Looks are counted, not time: after a suspended machine wakes up, none has been missed. */
const MISSED = 3

export interface PulseParts {
  /** Default 10 s. */
  readonly lookMs?: number
  /** Has runs to serve. */
  isBusy(): boolean
  ask(): void
  onStill(forMs: number): void
}

export class Pulse {
  readonly #parts: PulseParts
  readonly #lookMs: number
  #unanswered = 0

  constructor(parts: PulseParts) {
    this.#parts = parts
    this.#lookMs = parts.lookMs ?? LOOK_MS
    setInterval(() => this.#look(), this.#lookMs).unref()
  }

  /** It said something, or is another one. */
  beat(): void {
    this.#unanswered = 0
  }

  #look(): void {
    const { isBusy, ask, onStill } = this.#parts
    if (!isBusy()) return this.beat()
    if (this.#unanswered++ === 0) ask()
    // once, however long it lasts
    else if (this.#unanswered === MISSED + 1) onStill(MISSED * this.#lookMs)
  }
}
