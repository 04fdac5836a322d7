/**
 * Coalescing: the points that one producer logs for one run become rows, without waiting for a row to be whole.
 *
 * A *fragment* is a stretch of points with the same row and time; it is journaled as soon as the journal is
 * written. A *close mark* says later that a row is complete. Readers assemble rows from fragments and marks alone,
 * so the result does not depend on when the drain thread happened to run.
 *
 * C1  A row belongs to one producer and one step. Points of a step whose row is closed begin a new row.
 * C2  A row closes when its producer has begun OPEN_ROWS newer ones, on flush, on finish, or by age.
 * C3  A point that repeats series, step and time of the running fragment replaces it there (`coalesced`). Repeats
 *     at another time are journaled: point backends get both, in a row the last one wins.
 */

/** Open rows per producer: the one being written and one before it, for loops that log a step's results late. */
const OPEN_ROWS = 2
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
  /** Open rows, oldest first. */
  readonly #openSteps: number[] = []
  readonly #openRows: number[] = []
  readonly #openedAt: number[] = []
  /** Monotonic ms of the drain pass under way. */
  passAt = 0

  /** @param nextRow numbers rows within the run, over all its producers */
  constructor(nextRow: () => number) {
    this.#nextRow = nextRow
  }

  get hasOpenRows(): boolean {
    return this.#openRows.length > 0
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
    while (this.#openedAt.length > 0 && this.#openedAt[0]! < before) this.#closeOldest()
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
    const steps = this.#openSteps
    for (let index = steps.length - 1; index >= 0; index--) {
      if (steps[index] === step) return this.#openRows[index]!
    }
    if (steps.length === OPEN_ROWS) this.#closeOldest()
    const row = this.#nextRow()
    steps.push(step)
    this.#openRows.push(row)
    this.#openedAt.push(this.passAt)
    return row
  }

  #closeOldest(): void {
    if (this.closedLength === this.closed.length) this.closed = grown(this.closed)
    this.closed[this.closedLength++] = this.#openRows.shift()!
    const step = this.#openSteps.shift()!
    this.#openedAt.shift()
    // a later point of this step must begin a new row (C1)
    if (step === this.#step) this.#step = Number.NaN
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
