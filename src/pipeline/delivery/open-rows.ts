/** Rows on their way from fragments to batches, and which of them the cursor has to name. */
import type { JournalPoints, Place } from './batcher.ts'
import { seqAt } from './filter.ts'
import type { RowPart } from './row-columns.ts'

/** So many rows that were taken are let go of at once; more where more are left, since these are moved. */
const MAX_TAKEN = 1024

export interface OpenRow {
  readonly row: number
  readonly step: number
  readonly parts: RowPart[]
  count: number
}

export class OpenRows {
  readonly #from: Place
  /** By number, in the order of their first points. */
  readonly #open = new Map<number, OpenRow>()
  /** Rows that got points from the frame at hand. */
  readonly #touched = new Set<OpenRow>()
  /** From #completeAt on: complete, and not taken yet. */
  readonly #complete: OpenRow[] = []
  #completeAt = 0
  #completePoints = 0
  /** First point of each row that is not settled. */
  readonly #unsettled = new Map<number, number>()
  /** Rows that the cursor names and that have not been met again. */
  readonly #owed = new Set<number>()

  constructor(from: Place) {
    this.#from = from
    for (const [first, last] of from.rows ?? []) {
      for (let row = first; row <= last; row++) this.#owed.add(row)
    }
  }

  /** How many are complete and not taken. */
  get completeCount(): number {
    return this.#complete.length - this.#completeAt
  }

  /** Points of those. */
  get completePoints(): number {
    return this.#completePoints
  }

  /** The oldest of them; there is one. */
  get next(): OpenRow {
    return this.#complete[this.#completeAt]!
  }

  takeNext(): void {
    this.#completePoints -= this.#complete[this.#completeAt++]!.count
    // While a long journal is read there is always one left: those that were taken must not stay until there is none.
    if (this.completeCount > 0 && this.#completeAt < Math.max(MAX_TAKEN, this.completeCount)) return
    this.#complete.splice(0, this.#completeAt)
    this.#completeAt = 0
  }

  add(entry: JournalPoints): void {
    const { points, row, at } = entry
    let start = 0
    while (start < points.length) {
      const number = row[start]!
      let end = start + 1
      while (end < points.length && row[end] === number && (!at || at[end] === at[end - 1]! + 1)) end++
      this.#addPart(entry, number, start, end)
      start = end
    }
    for (const closed of entry.closed) this.#close(closed)
    // A row that stays open must not keep the frame, only its own part of it.
    for (const touched of this.#touched) if (this.#open.has(touched.row)) detach(touched)
    this.#touched.clear()
  }

  closeAll(): void {
    for (const row of this.#open.keys()) this.#close(row)
  }

  settle(rows: readonly number[]): void {
    for (const row of rows) this.#unsettled.delete(row)
  }

  /**
   * @param seq of the cursor
   * @param readTo where the reader stands
   */
  placeAt(seq: number, readTo: number): Place {
    // What has not been read again is as it was; a row that is not met by then was lost to damage.
    const isReadAgain = readTo >= this.#from.seq
    let back = isReadAgain ? seq : this.#from.back
    const rows: number[] = isReadAgain ? [] : [...this.#owed]
    for (const [row, first] of this.#unsettled) {
      if (first >= seq) continue
      back = Math.min(back, first)
      rows.push(row)
    }
    return rows.length === 0 ? { seq, back } : { seq, back, rows: toRanges(rows) }
  }

  #addPart(entry: JournalPoints, number: number, start: number, end: number): void {
    let at = start
    // Points before the cursor count only for the rows that it names.
    const isOurs = this.#owed.has(number) || this.#open.has(number)
    const first = seqAt(entry, start)
    if (!isOurs) at = Math.min(end, start + Math.max(0, this.#from.seq - first))
    if (at === end) return
    const { series, value, time, step } = entry.points
    const seq = first + at - start
    let row = this.#open.get(number)
    if (row === undefined) {
      this.#owed.delete(number)
      row = { row: number, step: step[at]!, parts: [], count: 0 }
      this.#open.set(number, row)
      this.#unsettled.set(number, seq)
    }
    row.parts.push({ seq, series, value, time, start: at, end })
    row.count += end - at
    this.#touched.add(row)
  }

  #close(number: number): void {
    const row = this.#open.get(number)
    if (row === undefined) return
    this.#open.delete(number)
    this.#complete.push(row)
    this.#completePoints += row.count
  }
}

/** Copies what the last frame brought. */
function detach(row: OpenRow): void {
  for (let at = row.parts.length - 1; at >= 0; at--) {
    const { seq, series, value, time, start, end } = row.parts[at]!
    if (start === 0 && end === series.length) return
    row.parts[at] = {
      seq,
      series: series.slice(start, end),
      value: value.slice(start, end),
      time: time.slice(start, end),
      start: 0,
      end: end - start,
    }
  }
}

function toRanges(rows: number[]): [number, number][] {
  rows.sort((a, b) => a - b)
  const ranges: [number, number][] = []
  for (const row of rows) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === row - 1) last[1] = row
    else ranges.push([row, row])
  }
  return ranges
}
