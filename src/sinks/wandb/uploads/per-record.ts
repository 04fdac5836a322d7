/** What the steps of a record share, by its sequence number. Records that are set aside come again. */

/** As many as the pipeline has under way at most. */
const MAX_RECORDS = 16

export class PerRecord<Item> {
  /** The latest last. */
  readonly #items = new Map<number, Item>()

  of(seq: number, make: () => Item): Item {
    const known = this.#items.get(seq)
    if (known !== undefined) return known
    const item = make()
    if (this.#items.size >= MAX_RECORDS) this.#items.delete(this.#items.keys().next().value!)
    this.#items.set(seq, item)
    return item
  }

  delete(seq: number): void {
    this.#items.delete(seq)
  }
}
