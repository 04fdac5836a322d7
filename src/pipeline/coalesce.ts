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

const FIRST_POINTS = 1024

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
  fragments = {
    length: 0,
    step: new Float64Array(FIRST_POINTS),
    time: new Float64Array(FIRST_POINTS),
    row: new Uint32Array(FIRST_POINTS),
    count: new Uint32Array(FIRST_POINTS),
  }
  closed = new Uint32Array(FIRST_POINTS)
  closedLength = 0
  coalesced = 0

  readonly #nextRow: () => number
  /** Step and time of the running fragment; NaN when there is none, so that nothing equals it. */
  #step = Number.NaN
  #time = Number.NaN
  #fragmentFrom = 0
  /** Counts fragments; stands in #seenIn for each series that the fragment holds, at index #seenAt. */
  #fragment = 0
  #seenIn = new Uint32Array(64)
  #seenAt = new Uint32Array(64)
  /** The two open rows; a step of NaN where there is none. Fields, not arrays: a row may be a single point. */
  #olderStep = Number.NaN
  #olderRow = 0
  #olderAt = 0
  #newerStep = Number.NaN
  #newerRow = 0
  #newerAt = 0
  /** Monotonic ms of the drain pass under way. */
  passAt = 0

  /** @param nextRow numbers rows within the run, over all its producers */
  constructor(nextRow: () => number) {
    this.#nextRow = nextRow
  }

  get hasOpenRows(): boolean {
    return !Number.isNaN(this.#newerStep)
  }
  get isEmpty(): boolean {
    return this.length === 0 && this.closedLength === 0 && this.coalesced === 0
  }

  add(series: number, step: number, value: number, time: number): void {
    if (step !== this.#step || time !== this.#time) this.#beginFragment(step, time)
    if (series >= this.#seenIn.length) this.#growSeries(series)
    if (this.#seenIn[series] === this.#fragment) {
      this.value[this.#seenAt[series]!] = value
      this.coalesced++
      return
    }
    const index = this.length
    if (index === this.series.length) this.#growPoints()
    this.#seenIn[series] = this.#fragment
    this.#seenAt[series] = index
    this.series[index] = series
    this.value[index] = value
    this.length = index + 1
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

  /** Closes rows begun before `before` (monotonic ms), oldest first; all by default. */
  closeRows(before = Infinity): void {
    if (!Number.isNaN(this.#olderStep) && this.#olderAt < before) this.#closeOlder()
    if (!Number.isNaN(this.#newerStep) && this.#newerAt < before && Number.isNaN(this.#olderStep)) {
      this.#shiftRows()
      this.#closeOlder()
    }
  }

  #beginFragment(step: number, time: number): void {
    const fragments = this.fragments
    const index = fragments.length
    if (index > 0) fragments.count[index - 1] = this.length - this.#fragmentFrom
    if (index === fragments.step.length) this.#growFragments()
    this.#step = step
    this.#time = time
    this.#fragmentFrom = this.length
    this.#fragment = (this.#fragment + 1) >>> 0
    if (this.#fragment === 0) this.#restartFragmentNumbers()
    fragments.step[index] = step
    fragments.time[index] = time
    fragments.row[index] = this.#rowOf(step)
    fragments.length = index + 1
  }

  #rowOf(step: number): number {
    if (step === this.#newerStep) return this.#newerRow
    if (step === this.#olderStep) return this.#olderRow
    if (!Number.isNaN(this.#newerStep)) {
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

  #growSeries(series: number): void {
    const length = 2 ** Math.ceil(Math.log2(series + 1))
    this.#seenIn = grown(this.#seenIn, length)
    this.#seenAt = grown(this.#seenAt, length)
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

function grown<Column extends Uint32Array | Float64Array>(
  column: Column,
  length = column.length * 2,
): Column {
  const larger = new (column.constructor as new (length: number) => Column)(length)
  larger.set(column)
  return larger
}
