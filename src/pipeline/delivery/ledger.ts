/** The books of one run at one destination: sums, cursor, counters that `stats()` reads. */
import { DESTINATION } from '../../core/counters.ts'
import type { Routing } from '../../core/routing.ts'
import type { Cursor, CursorRewind, CursorRoute, SinkState, ThinnedStretch } from '../../core/types.ts'
import { addSums, emptySums, type SettledSums } from './item.ts'
import { bucketStart } from './thin-scout.ts'

/** The part of the run's folder that keeps cursors. */
export interface CursorKeeper {
  load(address: string): Cursor | undefined
  save(cursor: Cursor): void
}

/** Where delivery would go on: a cursor without its books. */
export type CursorPlace = Pick<Cursor, 'seq' | 'back' | 'rows' | 'files' | 'refused' | 'points'>

/** Saves are this far apart, but for the one at the close. */
const SAVE_EVERY_MS = 100
/** Longer than what goes on in between, so that a busy destination pays nothing for it. */
const LEVEL_AFTER_MS = 1000

export class Ledger {
  readonly #cursors: CursorKeeper
  readonly #block: Float64Array
  readonly #sums: SettledSums
  #cursor: Cursor
  #state: SinkState
  #url: string | undefined
  #uploads: Cursor['uploads']
  #routes: Cursor['routes']
  #rewinds: Cursor['rewinds']
  #thinned: readonly ThinnedStretch[]
  #isOnDisk: boolean
  #isDirty = false
  #isCopyBehind = false
  #savedAt = -Infinity

  constructor(cursors: CursorKeeper, address: string, block: Float64Array) {
    this.#cursors = cursors
    this.#block = block
    const saved = cursors.load(address)
    this.#isOnDisk = saved !== undefined
    this.#cursor = saved ?? { seq: 0, back: 0, settled: emptySums(), state: undefined }
    this.#sums = { ...this.#cursor.settled }
    this.#state = this.#cursor.state
    this.#url = this.#cursor.url
    this.#uploads = this.#cursor.uploads
    this.#routes = this.#cursor.routes
    this.#rewinds = this.#cursor.rewinds
    this.#thinned = this.#cursor.thinned ?? []
    block[DESTINATION.seq] = this.#cursor.seq
    this.#publish()
  }

  /** As last saved, or loaded. */
  get cursor(): Cursor {
    return this.#cursor
  }

  get state(): SinkState {
    return this.#state
  }

  /** What is settled, saved or not. */
  get sums(): Readonly<SettledSums> {
    return this.#sums
  }

  /** Whether a cursor has ever been saved: the run has been opened there. */
  get isOnDisk(): boolean {
    return this.#isOnDisk
  }

  get isDirty(): boolean {
    return this.#isDirty
  }

  /**
   * When the cursor should be saved: now or earlier for at once, Infinity when it is. Once more when nothing has
   * changed for a while: what the copy of before would need cannot be removed by retention.
   */
  get saveAt(): number {
    if (this.#isDirty) return this.#savedAt + SAVE_EVERY_MS
    return this.#isCopyBehind ? this.#savedAt + LEVEL_AFTER_MS : Infinity
  }

  /** Whether the copy beside the cursor's file holds what was saved before. */
  get isCopyBehind(): boolean {
    return this.#isCopyBehind
  }

  /** Whether every sequence number below the cursor is settled once; row sinks settle some ahead of it. */
  get isBalanced(): boolean {
    const { seq, rows } = this.#cursor
    if (rows !== undefined) return true
    const { superseded: _, ...sums } = this.#cursor.settled
    return Object.values(sums).reduce((sum, count) => sum + count, 0) === seq
  }

  /** Of an answer, or found by `open`. */
  setState(state: SinkState): void {
    this.#state = state
    this.#isDirty = true
  }

  setUrl(url: string): void {
    if (url === this.#url) return
    this.#url = url
    this.#isDirty = true
  }

  /**
   * Records of these kinds are settled elsewhere from the cursor on, but for those that have been before.
   * @returns from which sequence number on
   */
  leaveToUploads(kinds: readonly string[]): ReadonlyMap<string, number> {
    const from = new Map(kinds.map((kind) => [kind, this.#uploads?.[kind] ?? this.#cursor.seq]))
    this.#uploads = Object.fromEntries(from)
    return from
  }

  /**
   * Notes what is for the destination from now on.
   * @param from told where it begins, if it is not what was noted last
   * @returns all that was noted
   */
  route(routing: Routing, from: () => number): readonly CursorRoute[] {
    const routes = this.#routes ?? []
    const last = routes.at(-1)
    if (isSame(last ?? { from: 0 }, { from: last?.from ?? 0, ...routing })) return routes
    const start = Math.max(from(), last?.from ?? 0)
    // what nothing went by need not be kept
    this.#routes = [...routes.filter((route) => route.from < start), { from: start, ...routing }]
    this.#isDirty = true
    return this.#routes
  }

  /** What is left out where the cursor may have to go back to, ascending. */
  get thinned(): readonly ThinnedStretch[] {
    return this.#thinned
  }

  /** Leaves points out from now on. False: the cursor cannot be saved, so nothing is left out. */
  thin(stretch: ThinnedStretch, save: () => void): boolean {
    const before = this.#thinned
    this.#thinned = [...before, stretch]
    try {
      save()
      return true
    } catch {
      this.#thinned = before
      return false
    }
  }

  get rewinds(): readonly CursorRewind[] {
    return this.#rewinds ?? []
  }

  /** Keeps where the run went back: delivery may go on behind it. */
  addRewind(rewind: CursorRewind): void {
    this.#rewinds = [...(this.#rewinds ?? []), rewind]
  }

  /** Adds what is settled with everything before it. */
  add(sums: Partial<SettledSums>): void {
    addSums(this.#sums, sums)
    this.#isDirty = true
    this.#publish()
  }

  /** The place has moved though no sum has: a file of a record is settled. */
  touch(): void {
    this.#isDirty = true
  }

  /** @throws TraceletError when the disk refuses: it stays dirty, the next try comes in its time */
  save(place: CursorPlace, now: number): void {
    this.#savedAt = now
    const url = this.#url
    const uploads = this.#uploads
    const routes = this.#routes
    const rewinds = this.#rewinds
    const thinned = this.#thinned.filter(({ to }) => to > place.back)
    const first = thinned[0]
    const cursor: Cursor = {
      ...place,
      // what was chosen of a bucket is found by reading all of it
      ...(first && first.from <= place.back && { back: bucketStart(first, place.back) }),
      ...(url !== undefined && { url }),
      ...(uploads !== undefined && { uploads }),
      ...(routes !== undefined && { routes }),
      ...(rewinds !== undefined && { rewinds }),
      ...(thinned.length > 0 && { thinned }),
      settled: { ...this.#sums },
      state: this.#state,
    }
    this.#cursors.save(cursor)
    this.#cursor = cursor
    this.#thinned = thinned
    this.#isOnDisk = true
    this.#isCopyBehind = this.#isDirty
    this.#isDirty = false
    this.#block[DESTINATION.seq] = cursor.seq
  }

  /** Saves what has changed while the place has not. @throws TraceletError when the disk refuses */
  saveInPlace(now: number): void {
    const { seq, back, rows } = this.#cursor
    this.save({ seq, back, ...(rows && { rows }) }, now)
  }

  #publish(): void {
    for (const name of Object.keys(this.#sums) as (keyof SettledSums)[])
      this.#block[DESTINATION[name]] = this.#sums[name]
  }
}

/** Routes are written down and compared as they are made, with their fields in one order. */
function isSame(one: CursorRoute, other: CursorRoute): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
