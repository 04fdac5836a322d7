/**
 * At most MAX_OPEN runs are open at one account at a time: connections, batches and memory follow what is open, not
 * how many runs a program has. Whoever waits longest gets the next place; a run with nothing to do makes room at
 * once, a busy one when it has had its time.
 */

export const MAX_OPEN = 64
/** Opening costs the backend requests: a place is worth having for a while. */
const LEAST_MS = 1_000

export interface SlotHolder {
  readonly isIdle: boolean
  park(): void
}

export class Slots<Holder extends SlotHolder> {
  /** Oldest first. Those that were asked to make room have `leaves` set. */
  readonly #open = new Map<Holder, { readonly since: number; leaves: boolean }>()
  readonly #waiting = new Set<Holder>()
  readonly #maxOpen: number

  constructor(maxOpen = MAX_OPEN) {
    this.#maxOpen = maxOpen
  }

  get hasWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /** False: it waits; it asks again when woken. */
  take(holder: Holder, now: number): boolean {
    if (this.#open.has(holder)) return true
    this.#waiting.add(holder)
    if (this.next().includes(holder)) {
      this.#waiting.delete(holder)
      this.#open.set(holder, { since: now, leaves: false })
      return true
    }
    this.makeRoom(now)
    return false
  }

  /** Asks as many to leave as are waiting, the idle ones first, then those that are open longest. */
  makeRoom(now: number): void {
    let wanted = this.#waiting.size - (this.#maxOpen - this.#open.size)
    for (const { leaves } of this.#open.values()) if (leaves) wanted--
    for (const mayLeave of [
      (holder: Holder) => holder.isIdle,
      (_: Holder, since: number) => now - since >= LEAST_MS,
    ]) {
      for (const [holder, place] of this.#open) {
        if (wanted <= 0) return
        if (place.leaves || !mayLeave(holder, place.since)) continue
        place.leaves = true
        wanted--
        holder.park()
      }
    }
  }

  give(holder: Holder): void {
    this.#open.delete(holder)
    this.#waiting.delete(holder)
  }

  /** Those who will get a place when they ask again. */
  next(): Holder[] {
    const next: Holder[] = []
    let free = this.#maxOpen - this.#open.size
    for (const holder of this.#waiting) {
      if (free-- <= 0) break
      next.push(holder)
    }
    return next
  }
}
