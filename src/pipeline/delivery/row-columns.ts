/** Where rows are put together before they become a batch: one for all runs of a thread, used within one call. */

/** Part of a row that stands side by side in the journal. */
export interface RowPart {
  /** Sequence number of the point at `start`. */
  readonly seq: number
  readonly series: Uint32Array
  readonly value: Float64Array
  readonly time: Float64Array
  readonly start: number
  readonly end: number
}

const FIRST_POINTS = 1024

export class RowColumns {
  length = 0
  series = new Uint32Array(FIRST_POINTS)
  step = new Float64Array(FIRST_POINTS)
  time = new Float64Array(FIRST_POINTS)
  value = new Float64Array(FIRST_POINTS)
  seq = new Float64Array(FIRST_POINTS)
  /** Stands in #seenIn for each series that the row at hand has had, at index #seenAt. */
  #generation = 0
  #seenIn = new Uint32Array(64)
  #seenAt = new Uint32Array(64)

  /** Appends a row; of each series its last point, in the place of its first. */
  append(step: number, parts: readonly RowPart[]): void {
    const generation = this.#nextGeneration()
    for (const { series, value, time, seq, start, end } of parts) {
      this.#growPoints(this.length + end - start)
      for (let from = start; from < end; from++) {
        const id = series[from]!
        if (id >= this.#seenIn.length) this.#growSeen(id)
        let at = this.#seenAt[id]!
        if (this.#seenIn[id] !== generation) {
          at = this.length++
          this.#seenIn[id] = generation
          this.#seenAt[id] = at
          this.series[at] = id
          this.step[at] = step
        }
        this.value[at] = value[from]!
        this.time[at] = time[from]!
        this.seq[at] = seq + from - start
      }
    }
  }

  #nextGeneration(): number {
    this.#generation = (this.#generation + 1) >>> 0
    if (this.#generation === 0) {
      this.#seenIn.fill(0)
      this.#generation = 1
    }
    return this.#generation
  }

  #growPoints(length: number): void {
    if (length <= this.value.length) return
    const room = Math.max(length, this.value.length * 2)
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array(room)
      larger.set(column)
      return larger
    }
    const series = new Uint32Array(room)
    series.set(this.series)
    this.series = series
    this.step = grown(this.step)
    this.time = grown(this.time)
    this.value = grown(this.value)
    this.seq = grown(this.seq)
  }

  #growSeen(id: number): void {
    const room = Math.max(id + 1, this.#seenIn.length * 2)
    const seenIn = new Uint32Array(room)
    const seenAt = new Uint32Array(room)
    seenIn.set(this.#seenIn)
    seenAt.set(this.#seenAt)
    this.#seenIn = seenIn
    this.#seenAt = seenAt
  }
}
