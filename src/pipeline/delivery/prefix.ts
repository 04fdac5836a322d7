/**
 * The items that are under way, in the order of the journal, and how far they are settled without a gap.
 *
 *   position ──▶  [ settled ][ settled ][ open ][ settled ][ open ] … not read yet
 *                 └─ committed ────────┘ ▲
 *                                        cursor
 */
import type { Item } from './item.ts'

export class Prefix {
  #items: Item[] = []

  get isEmpty(): boolean {
    return this.#items.length === 0
  }

  /** What is not committed, in order. */
  get items(): readonly Item[] {
    return this.#items
  }

  /** A batch that was being filled while a record passed it goes before that record. */
  add(item: Item): void {
    let at = this.#items.length
    while (at > 0 && this.#items[at - 1]!.from > item.from) at--
    this.#items.splice(at, 0, item)
  }

  replace(item: Item, parts: readonly Item[]): void {
    this.#items.splice(this.#items.indexOf(item), 1, ...parts)
  }

  /** The first that waits to be written, perhaps again. */
  get next(): Item | undefined {
    return this.#items.find((item) => !item.isSettled && !item.isUnderWay)
  }

  /** Whether a record before this item is not settled. */
  hasOpenRecordBefore(item: Item): boolean {
    for (const earlier of this.#items) {
      if (earlier === item) return false
      if (earlier.record !== undefined && !earlier.isSettled) return true
    }
    return false
  }

  /** The first that is not settled. */
  get firstOpen(): Item | undefined {
    return this.#items.find((item) => !item.isSettled)
  }

  /**
   * Takes out what is settled with everything before it.
   * @param position where items to come begin
   */
  commit(position: number): Item[] {
    const open = this.firstOpen
    const frontier = Math.min(open?.from ?? Infinity, position)
    let count = 0
    while (count < this.#items.length && this.#items[count]!.isSettled && this.#items[count]!.to <= frontier)
      count++
    return count === 0 ? [] : this.#items.splice(0, count)
  }
}
