/** Columns that rows are put together in, and that a batch of them is a view of; used again by all runs of a thread. */

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
/** Room for so many points is kept, of 36 bytes each: many small batches, or a few large ones. */
const MAX_FREE_POINTS = 2 ** 19

const free: RowColumns[] = []
let freePoints = 0

export function takeRowColumns(): RowColumns {
  const columns = free.pop()
  if (columns === undefined) return new RowColumns()
  freePoints -= columns.room
  return columns
}

/** Nobody may look at them any more. */
export function giveRowColumns(columns: RowColumns): void {
  columns.length = 0
  if (freePoints + columns.room > MAX_FREE_POINTS) return
  freePoints += columns.room
  free.push(columns)
}

export class RowColumns {
  length = 0
  series = new Uint32Array(FIRST_POINTS)
  step = new Float64Array(FIRST_POINTS)
  time = new Float64Array(FIRST_POINTS)
  value = new Float64Array(FIRST_POINTS)
  seq = new Float64Array(FIRST_POINTS)

  /** In points. */
  get room(): number {
    return this.seq.length
  }

  /** Appends a row; of each series its last point, in the place of its first. */
  append(step: number, parts: readonly RowPart[]): void {
    seen.begin()
    for (const { series, value, time, seq, start, end } of parts) {
      this.#growPoints(this.length + end - start)
      for (let from = start; from < end; from++) {
        const id = series[from]!
        const at = seen.place(id, this.length)
        if (at === this.length) {
          this.length++
          this.series[at] = id
          this.step[at] = step
        }
        this.value[at] = value[from]!
        this.time[at] = time[from]!
        this.seq[at] = seq + from - start
      }
    }
  }

  #growPoints(length: number): void {
    if (length <= this.room) return
    const room = Math.max(length, this.room * 2)
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
}

/** Where in the columns each series of the row at hand is. */
class Seen {
  /** Stands in #in for each series that the row has had, at index #at. */
  #generation = 0
  #in = new Uint32Array(64)
  #at = new Uint32Array(64)

  begin(): void {
    this.#generation = (this.#generation + 1) >>> 0
    if (this.#generation > 0) return
    this.#in.fill(0)
    this.#generation = 1
  }

  /** Where the series is; `next` when the row has not had it, and now has it there. */
  place(id: number, next: number): number {
    if (id >= this.#in.length) this.#grow(id)
    if (this.#in[id] === this.#generation) return this.#at[id]!
    this.#in[id] = this.#generation
    this.#at[id] = next
    return next
  }

  #grow(id: number): void {
    const room = Math.max(id + 1, this.#in.length * 2)
    const seenIn = new Uint32Array(room)
    const seenAt = new Uint32Array(room)
    seenIn.set(this.#in)
    seenAt.set(this.#at)
    this.#in = seenIn
    this.#at = seenAt
  }
}

const seen = new Seen()
