/**
 * Batches for sinks that take whole rows: each row once, when it is complete, in the order of completion.
 *
 *  W1  A row is complete at its close mark, when another writer takes over, and at the end of the run. An open row
 *      holds up nothing.
 *  W2  Of several points of one series in a row the last counts; the others are delivered and superseded.
 *  W3  The cursor's `seq` is as far as was read (or the first record not settled), `rows` the rows with points
 *      before it that are not settled, `back` the first of those points. Reading from `back` and passing over
 *      points before `seq` of other rows gives the same rows again, in the same order.
 *  W4  A row that exceeds `maxBytes` is sent in parts of the same step, which are committed together.
 */
import type { Batch } from '../../core/types.ts'
import {
  type Batcher,
  type BatcherOptions,
  EntryReader,
  type JournalPoints,
  oversizeRefusal,
  type Place,
  PointBounds,
  type Shape,
} from './batcher.ts'
import { type Item, openItem } from './item.ts'
import { RowColumns, type RowPart } from './row-columns.ts'

interface OpenRow {
  readonly row: number
  readonly step: number
  readonly parts: RowPart[]
  count: number
}

const columns = new RowColumns()

export class RowBatcher implements Batcher, Shape {
  readonly #options: BatcherOptions
  readonly #entries: EntryReader
  readonly #bounds: PointBounds
  readonly #open = new Map<number, OpenRow>()
  /** Rows that got points from the frame at hand. */
  readonly #touched = new Set<OpenRow>()
  /** Complete rows, not in an item yet. */
  #complete: OpenRow[] = []
  #completeAt = 0
  /** First point of each row that is not committed. */
  readonly #unsettled = new Map<number, number>()
  /** Rows that the cursor names and that have not been met again. */
  readonly #owed = new Set<number>()
  #ordinal = 0

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#entries = new EntryReader(options, this)
    this.#bounds = new PointBounds(options)
    for (const [first, last] of options.from.rows ?? []) {
      for (let row = first; row <= last; row++) this.#owed.add(row)
    }
  }

  get isAtEnd(): boolean {
    return this.#entries.isAtEnd
  }

  get isWaiting(): boolean {
    return this.#completeAt < this.#complete.length
  }

  get position(): number {
    return this.#ordinal
  }

  next(flush: boolean): Item[] {
    return this.#entries.next(flush)
  }

  points(entry: JournalPoints): void {
    const { points, row } = entry
    let start = 0
    while (start < points.length) {
      const number = row[start]!
      let end = start + 1
      while (end < points.length && row[end] === number) end++
      this.#fragment(entry, number, start, end)
      start = end
    }
    for (const closed of entry.closed) this.#close(closed)
    // A row that stays open must not keep the frame, only its own part of it.
    for (const row of this.#touched) if (this.#open.has(row.row)) detach(row)
    this.#touched.clear()
  }

  cut(): Item[] {
    return this.#complete.length - this.#completeAt >= this.#options.limits.maxItems ? this.#items() : []
  }

  /** What was complete before the record goes before it. */
  beforeRecord(): Item[] {
    return this.#allItems()
  }

  placeOf(): { from: number; to: number } {
    return { from: this.#ordinal, to: ++this.#ordinal }
  }

  session(): void {
    this.endRun()
  }

  flush(): Item[] {
    return this.#allItems()
  }

  endRun(): void {
    for (const row of this.#open.keys()) this.#close(row)
  }

  commit(item: Item): void {
    for (const row of item.rows ?? []) this.#unsettled.delete(row)
  }

  release(): void {}

  place(uncommitted: readonly Item[]): Place {
    const passive = uncommitted.find((item) => item.points === undefined)
    const { reader, from } = this.#options
    const seq = Math.max(passive?.seq ?? reader.seq, from.seq)
    // What has not been read again is as it was; a row that is not met by then was lost to damage.
    const isReadAgain = reader.seq >= from.seq
    let back = isReadAgain ? seq : from.back
    const rows: number[] = isReadAgain ? [] : [...this.#owed]
    for (const [row, first] of this.#unsettled) {
      if (first >= seq) continue
      back = Math.min(back, first)
      rows.push(row)
    }
    return rows.length === 0 ? { seq, back } : { seq, back, rows: toRanges(rows) }
  }

  close(): void {
    this.#options.reader.close()
  }

  #fragment(entry: JournalPoints, number: number, start: number, end: number): void {
    const { from } = this.#options
    let at = start
    // Points before the cursor count only for the rows that it names.
    if (entry.seq + start < from.seq && !this.#isOurs(number)) at = Math.min(end, from.seq - entry.seq)
    if (at === end) return
    const { points } = entry
    const seq = entry.seq + at
    let row = this.#open.get(number)
    if (row === undefined) {
      this.#owed.delete(number)
      row = { row: number, step: points.step[at]!, parts: [], count: 0 }
      this.#open.set(number, row)
      this.#unsettled.set(number, seq)
    }
    const { series, value, time } = points
    row.parts.push({ seq, series, value, time, start: at, end })
    row.count += end - at
    this.#touched.add(row)
  }

  #isOurs(row: number): boolean {
    return this.#owed.has(row) || this.#open.has(row)
  }

  #close(number: number): void {
    const row = this.#open.get(number)
    if (row === undefined) return
    this.#open.delete(number)
    this.#complete.push(row)
  }

  #allItems(): Item[] {
    const items: Item[] = []
    while (this.isWaiting) items.push(...this.#items())
    return items
  }

  /** One batch of complete rows; several for a row that no batch can hold, with its parts. */
  #items(): Item[] {
    const { maxItems, maxBytes } = this.#options.limits
    const rows: OpenRow[] = []
    const starts = [0]
    let bytes = 0
    columns.length = 0
    while (this.isWaiting && rows.length < maxItems) {
      const row = this.#complete[this.#completeAt]!
      const start = columns.length
      columns.append(row.step, row.parts)
      bytes += this.#bytes(start, columns.length)
      if (bytes > maxBytes) {
        if (rows.length === 0) {
          this.#advance()
          return this.#split(row)
        }
        // It is the first of the next batch.
        columns.length = start
        break
      }
      this.#advance()
      rows.push(row)
      starts.push(columns.length)
    }
    const losers = rows.map(({ count }, at) => count - (starts[at + 1]! - starts[at]!))
    return [
      this.#item(
        starts,
        losers,
        rows.map(({ row }) => row),
      ),
    ]
  }

  #bytes(start: number, end: number): number {
    let bytes = 0
    for (let at = start; at < end; at++) bytes += this.#bounds.of(columns.series[at]!)
    return bytes
  }

  #advance(): void {
    this.#completeAt++
    if (this.#completeAt === this.#complete.length) {
      this.#complete = []
      this.#completeAt = 0
    }
  }

  /** The row that fills the columns, in parts; a point that no batch can hold is a part that is refused. */
  #split({ row, count }: OpenRow): Item[] {
    const { maxBytes } = this.#options.limits
    const items: Item[] = []
    const add = (start: number, end: number, refusal?: Item['refusal']): void => {
      if (start === end) return
      // The losers belong to the row, and go with whichever part is first.
      const losers = items.length === 0 ? count - columns.length : 0
      items.push({ ...this.#item([start, end], [losers], []), ...(refusal && { refusal }) })
    }
    let start = 0
    let bytes = 0
    const { length } = columns
    for (let at = 0; at < length; at++) {
      const bound = this.#bounds.of(columns.series[at]!)
      if (bytes + bound > maxBytes) {
        add(start, at)
        start = at
        bytes = 0
      }
      bytes += bound
      if (bound <= maxBytes) continue
      add(at, at + 1, oversizeRefusal(bound, maxBytes))
      start = at + 1
      bytes = 0
    }
    add(start, length)
    // None is committed before all are settled.
    const { to } = items.at(-1)!
    return items.map((item, at) => ({ ...item, to, rows: at === items.length - 1 ? [row] : [] }))
  }

  /** @param rows that are settled with it */
  #item(starts: readonly number[], losers: readonly number[], rows: readonly number[]): Item {
    const first = starts[0]!
    const end = starts.at(-1)!
    const seqs = columns.seq.slice(first, end)
    const { reader } = this.#options
    const batch: Batch = {
      seq: seqs[0]!,
      length: end - first,
      series: columns.series.slice(first, end),
      step: columns.step.slice(first, end),
      time: columns.time.slice(first, end),
      value: columns.value.slice(first, end),
      rows: Uint32Array.from(starts, (start) => start - first),
      describe: (id) => reader.series(id),
    }
    return openItem({
      ...this.placeOf(),
      seq: batch.seq,
      points: { batch, seqOf: (index) => seqs[index]!, losers },
      rows,
    })
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
