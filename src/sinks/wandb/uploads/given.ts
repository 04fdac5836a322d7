/** What the server gives for files, asked for many at a time and given out once each. */
import type { Refusal } from '../../http.ts'

/** Bytes of the files of one call: addresses are good for a while only, so what takes longer to send has its turn. */
export const MAX_BYTES_ASKED: number = 1024 ** 3

export class Given<Item extends object> {
  /** By place, until it has been taken. */
  readonly #items = new Map<number, Item>()
  readonly #ask: (index: number, signal: AbortSignal) => Promise<Refusal | undefined>
  #asking: Promise<Refusal | undefined> | undefined

  /** @param ask for the file at a place, and for those behind it: puts what it is given, that of the place at least */
  constructor(ask: (index: number, signal: AbortSignal) => Promise<Refusal | undefined>) {
    this.#ask = ask
  }

  put(index: number, item: Item): void {
    this.#items.set(index, item)
  }

  /** None that was given is of use any more. */
  clear(): void {
    this.#items.clear()
  }

  /** For one file, once; another call asks again. Several that wait for one call: it may bring theirs. */
  async take(index: number, signal: AbortSignal): Promise<Item | Refusal> {
    for (;;) {
      const item = this.#items.get(index)
      if (item !== undefined) {
        this.#items.delete(index)
        return item
      }
      const refusal = await (this.#asking ?? this.#begin(index, signal))
      if (refusal !== undefined) return refusal
    }
  }

  async #begin(index: number, signal: AbortSignal): Promise<Refusal | undefined> {
    this.#asking = this.#ask(index, signal)
    try {
      return await this.#asking
    } finally {
      this.#asking = undefined
    }
  }
}
