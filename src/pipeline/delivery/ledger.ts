/** The books of one run at one destination: sums, cursor, counters that `stats()` reads. */
import { DESTINATION } from '../../core/counters.ts'
import type { Cursor, SinkState } from '../../core/types.ts'
import type { Batcher } from './batcher.ts'
import { addSums, emptySums, type SettledSums } from './item.ts'
import type { Prefix } from './prefix.ts'

/** The part of the run's folder that keeps cursors. */
export interface CursorKeeper {
  load(address: string): Cursor | undefined
  save(cursor: Cursor): void
}

/** Saves are this far apart, but for the one at the close. */
const SAVE_EVERY_MS = 100

export class Ledger {
  readonly #cursors: CursorKeeper
  readonly #block: Float64Array
  readonly #sums: SettledSums
  #cursor: Cursor
  #state: SinkState
  #isDirty = false
  #savedAt = -Infinity

  constructor(cursors: CursorKeeper, address: string, block: Float64Array) {
    this.#cursors = cursors
    this.#block = block
    this.#cursor = cursors.load(address) ?? { seq: 0, back: 0, settled: emptySums(), state: undefined }
    this.#sums = { ...this.#cursor.settled }
    this.#state = this.#cursor.state
    this.#publish()
  }

  /** As last saved, or loaded. */
  get cursor(): Cursor {
    return this.#cursor
  }

  get state(): SinkState {
    return this.#state
  }

  get isDirty(): boolean {
    return this.#isDirty
  }

  /** When the cursor should be saved: now or earlier for at once, Infinity when it is. */
  get saveAt(): number {
    return this.#isDirty ? this.#savedAt + SAVE_EVERY_MS : Infinity
  }

  /** Whether every sequence number below the cursor is settled once; row sinks settle some ahead of it. */
  get isBalanced(): boolean {
    const { seq, back, rows } = this.#cursor
    if (rows !== undefined || back !== seq) return true
    const { superseded: _, ...sums } = this.#cursor.settled
    return Object.values(sums).reduce((sum, count) => sum + count, 0) === seq
  }

  /** Takes a state that no item brought: remote ids found by `open`. */
  setState(state: SinkState): void {
    this.#state = state
    this.#isDirty = true
  }

  /** Moves over what is settled without a gap. */
  commit(prefix: Prefix, batcher: Batcher): void {
    const items = prefix.commit(batcher.position)
    if (items.length === 0) return
    for (const item of items) {
      addSums(this.#sums, item.sums)
      if (item.hasState) this.#state = item.state
      batcher.commit(item)
    }
    this.#isDirty = true
    this.#publish()
  }

  /** @throws TraceletError when the disk refuses: it stays dirty, the next try comes in its time */
  save(prefix: Prefix, batcher: Batcher | undefined, now: number): void {
    this.#savedAt = now
    const place = batcher?.place(prefix.items) ?? {
      seq: this.#cursor.seq,
      back: this.#cursor.back,
      ...(this.#cursor.rows && { rows: this.#cursor.rows }),
    }
    const cursor: Cursor = { ...place, settled: { ...this.#sums }, state: this.#state }
    this.#cursors.save(cursor)
    this.#cursor = cursor
    this.#isDirty = false
    this.#block[DESTINATION.seq] = cursor.seq
  }

  #publish(): void {
    for (const name of Object.keys(this.#sums) as (keyof SettledSums)[])
      this.#block[DESTINATION[name]] = this.#sums[name]
  }
}
