/**
 * Coalescing: the points that one producer logs for one run become rows, without waiting for a row to be whole.
 *
 * A *fragment* is a stretch of points with the same row and time; it is journaled as soon as the journal is
 * written. A *close mark* says later that a row is complete. Readers assemble rows from fragments and marks alone,
 * so the result does not depend on when the drain thread happened to run.
 *
 * C1  A row belongs to one producer and one step. Points of a step whose row is closed begin a new row.
 * C2  A producer has two open rows: the one it is in, and one before it for loops that log a step's results late.
 *     A row closes when two newer ones have begun, on flush, on finish, or by age.
 * C3  A point that repeats series, step and time of the running fragment replaces it there (`coalesced`). Repeats
 *     at another time are journaled: point backends get both, in a row the last one wins.
 */

import { MAX_LANE_SLOTS } from '../ring/layout.ts'
import { LaneSeries } from './lane-series.ts'

/** Changes no slot; tells the compiler that offsets made of it fit 32 bits. */
const SLOT_RANGE = MAX_LANE_SLOTS - 1
/** Small: a thousand runs that log now and then have a stage each. */
const FIRST_POINTS = 64
/** Most points of one turn. */
const TAKEN_AT_ONCE = 8192

/** Where points are taken from: slots as the ring lays them out. */
export interface PointSlots {
  readonly u32: Uint32Array
  readonly f64: Float64Array
  readonly mask: number
}

/** What the journal takes from a stage: columns, of which the first `length` entries count. */
export interface StagedPoints {
  readonly length: number
  readonly series: Uint32Array
  readonly value: Float64Array
  readonly fragments: {
    readonly length: number
    readonly step: Float64Array
    readonly time: Float64Array
    readonly row: Uint32Array
    readonly count: Uint32Array
  }
  readonly closed: Uint32Array
  readonly closedLength: number
  readonly coalesced: number
}

/** The points of one producer for one run between two writes of the journal. */
export class PointStage implements StagedPoints {
  length = 0
  series = new Uint32Array(FIRST_POINTS)
  value = new Float64Array(FIRST_POINTS)
  fragments = emptyFragments()
  closed = new Uint32Array(FIRST_POINTS)
  closedLength = 0
  coalesced = 0

  readonly #nextRow: () => number
  /** Step and time of the running fragment; NaN when there is none, so that nothing equals it. */
  #step = Number.NaN
  #time = Number.NaN
  #fragmentFrom = 0
  /** What the producer's own numbers of series mean. */
  readonly #laneSeries: LaneSeries
  readonly #owner: number
  /** Counts fragments; stands in #seenIn for each series that the fragment holds, at index #seenAt. */
  #fragment = 0
  #seenIn = new Int32Array(16)
  #seenAt = new Uint32Array(16)
  /** Of fragments, when it was looked at last. */
  #fragmentAtRest = 0
  /** The two open rows; a step of NaN where there is none. Fields, not arrays: a row may be a single point. */
  #olderStep = Number.NaN
  #olderRow = 0
  #olderAt = 0
  #newerStep = Number.NaN
  #newerRow = 0
  #newerAt = 0
  /** Monotonic ms of the drain pass under way. */
  passAt = 0

  /**
   * @param nextRow numbers rows within the run, over all its producers
   * @param laneSeries of the lane that the producer writes
   * @param owner whose series these are there
   */
  constructor(nextRow: () => number, laneSeries = new LaneSeries(), owner = laneSeries.takeOwner()) {
    this.#nextRow = nextRow
    this.#laneSeries = laneSeries
    this.#owner = owner
  }

  get hasOpenRows(): boolean {
    return !Number.isNaN(this.#newerStep)
  }
  get isEmpty(): boolean {
    return this.length === 0 && this.closedLength === 0 && this.coalesced === 0
  }

  /** Tells what the producer means by a number of its own. */
  define(local: number, series: number): void {
    if (series >= this.#seenIn.length) {
      this.#seenIn = grown(this.#seenIn, series + 1)
      this.#seenAt = grown(this.#seenAt, series + 1)
    }
    this.#laneSeries.define(local, this.#owner, series)
  }

  /**
   * Takes points up to the first slot that is not a point of a series defined here.
   * @param from position of the first slot
   * @returns how many
   */
  take(slots: PointSlots, from: number, most: number): number {
    if (this.length === this.series.length) this.#growPoints()
    // what the lane holds may be of many runs: no room is made for all of it
    const end = Math.min(most, TAKEN_AT_ONCE, this.series.length - this.length)
    // everything that a point touches stands in variables of this function: the loop that every point goes through
    const { u32, f64, mask } = slots
    const { series, value } = this
    const { words, base } = this.#laneSeries
    const count = words.length >> 1
    const owner = this.#owner
    const seenIn = this.#seenIn
    const seenAt = this.#seenAt
    let step = this.#step
    let time = this.#time
    let fragment = this.#fragment
    let length = this.length
    let taken = 0
    for (; taken < end; taken++) {
      const slot = (from + taken) & mask & SLOT_RANGE
      const local = (u32[slot * 8 + 1]! - base) >>> 0
      if (local >= count || words[local * 2] !== owner) break
      const id = words[local * 2 + 1]!
      const slotStep = f64[slot * 4 + 1]!
      const slotTime = f64[slot * 4 + 3]!
      if (slotStep !== step || slotTime !== time) {
        step = slotStep
        time = slotTime
        this.#step = step
        this.#time = time
        this.#beginFragment(length)
        fragment = this.#fragment
      }
      if (seenIn[id] === fragment) {
        value[seenAt[id]!] = f64[slot * 4 + 2]!
        this.coalesced++
      } else {
        seenIn[id] = fragment
        seenAt[id] = length
        series[length] = id
        value[length] = f64[slot * 4 + 2]!
        length++
      }
    }
    this.length = length
    return taken
  }

  /** Ends the running fragment; call before the columns are read. */
  seal(): void {
    const fragments = this.fragments
    if (fragments.length > 0) fragments.count[fragments.length - 1] = this.length - this.#fragmentFrom
    this.#step = Number.NaN
  }

  /** Forgets the points and marks, keeps the open rows. */
  clear(): void {
    this.length = 0
    this.fragments.length = 0
    this.closedLength = 0
    this.coalesced = 0
    this.#step = Number.NaN
  }

  /**
   * Gives the room of a burst back when nothing was logged since the last call. Only while it is empty, now and then.
   */
  rest(): void {
    const isStill = this.#fragment === this.#fragmentAtRest
    this.#fragmentAtRest = this.#fragment
    if (!isStill || !this.isEmpty) return
    const { fragments, closed } = this
    if (this.series.length > FIRST_POINTS) {
      this.series = new Uint32Array(FIRST_POINTS)
      this.value = new Float64Array(FIRST_POINTS)
    }
    if (fragments.step.length > FIRST_POINTS) this.fragments = emptyFragments()
    if (closed.length > FIRST_POINTS) this.closed = new Uint32Array(FIRST_POINTS)
  }

  /** Closes rows begun before `before` (monotonic ms), oldest first; all by default. */
  closeRows(before = Infinity): void {
    if (!Number.isNaN(this.#olderStep) && this.#olderAt < before) this.#closeOlder()
    if (!Number.isNaN(this.#newerStep) && this.#newerAt < before && Number.isNaN(this.#olderStep)) {
      this.#shiftRows()
      this.#closeOlder()
    }
  }

  /** Begins the fragment of #step and #time at the point of that index. */
  #beginFragment(from: number): void {
    const fragments = this.fragments
    const index = fragments.length
    if (index > 0) fragments.count[index - 1] = from - this.#fragmentFrom
    if (index === fragments.step.length) this.#growFragments()
    this.#fragmentFrom = from
    this.#fragment = (this.#fragment + 1) | 0
    if (this.#fragment === 0) this.#restartFragmentNumbers()
    fragments.step[index] = this.#step
    fragments.time[index] = this.#time
    fragments.row[index] = this.#rowOfStep()
    fragments.length = index + 1
  }

  #rowOfStep(): number {
    const step = this.#step
    if (step === this.#newerStep) return this.#newerRow
    if (step === this.#olderStep) return this.#olderRow
    if (this.hasOpenRows) {
      if (!Number.isNaN(this.#olderStep)) this.#closeOlder()
      this.#shiftRows()
    }
    this.#newerStep = step
    this.#newerRow = this.#nextRow()
    this.#newerAt = this.passAt
    return this.#newerRow
  }

  #shiftRows(): void {
    this.#olderStep = this.#newerStep
    this.#olderRow = this.#newerRow
    this.#olderAt = this.#newerAt
    this.#newerStep = Number.NaN
  }

  #closeOlder(): void {
    if (this.closedLength === this.closed.length) this.closed = grown(this.closed)
    this.closed[this.closedLength++] = this.#olderRow
    // a later point of this step must begin a new row (C1)
    if (this.#olderStep === this.#step) this.#step = Number.NaN
    this.#olderStep = Number.NaN
  }

  #restartFragmentNumbers(): void {
    this.#seenIn.fill(0)
    this.#fragment = 1
  }

  #growPoints(): void {
    this.series = grown(this.series)
    this.value = grown(this.value)
  }
  #growFragments(): void {
    const fragments = this.fragments
    fragments.step = grown(fragments.step)
    fragments.time = grown(fragments.time)
    fragments.row = grown(fragments.row)
    fragments.count = grown(fragments.count)
  }
}

function emptyFragments() {
  return {
    length: 0,
    step: new Float64Array(FIRST_POINTS),
    time: new Float64Array(FIRST_POINTS),
    row: new Uint32Array(FIRST_POINTS),
    count: new Uint32Array(FIRST_POINTS),
  }
}

/** A copy with room for at least `length`, by default for one more. */
function grown<Column extends Uint32Array | Int32Array | Float64Array>(
  column: Column,
  length = column.length + 1,
): Column {
  const make = column.constructor as new (length: number) => Column
  const larger = new make(2 ** Math.ceil(Math.log2(length)))
  larger.set(column)
  return larger
}
