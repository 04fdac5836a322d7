/**
 * Batches for sinks that take whole rows: each row once, when it is complete, in the order of completion.
 *
 *  W1  A row is complete at its close mark, when another writer takes over, and at the end of the run. An open row
 *      holds up nothing.
 *  W2  Of several points of one series in a row the last counts; the others are delivered and superseded.
 *  W3  The cursor's `seq` is as far as was read (or the first record not settled), `rows` the rows with points
 *      before it that are not settled, `back` the first of those points. Reading from `back` and passing over
 *      points before `seq` of other rows gives the same rows again, in the same order.
 *  W4  A row that exceeds `maxBytes`, its `rowBytes` included, is sent in parts of the same step, which are committed together.
 *  W5  Filtered points belong to no row and settle as they are read; of a row all of whose points are filtered
 *      nothing is left.
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
import { filteredOf } from './filter.ts'
import { type Item, openItem, settledItem } from './item.ts'
import { type OpenRow, OpenRows } from './open-rows.ts'
import { giveRowColumns, type RowColumns, takeRowColumns } from './row-columns.ts'

export class RowBatcher implements Batcher, Shape {
  readonly #options: BatcherOptions
  readonly #entries: EntryReader
  readonly #bounds: PointBounds
  readonly #rows: OpenRows
  readonly #columnsOf = new WeakMap<Item, RowColumns>()
  /** Of a point whatever its name. */
  readonly #leastPointBytes: number
  readonly #rowBytes: number
  #ordinal = 0
  /** Filtered points, not handed out yet. */
  #passed: Item[] = []

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#entries = new EntryReader(options, this)
    this.#bounds = new PointBounds(options)
    this.#rows = new OpenRows(options.from)
    const { pointBytes, rowBytes = 0 } = options.limits
    this.#leastPointBytes = Math.max(1, pointBytes(0))
    this.#rowBytes = rowBytes
  }

  get isAtEnd(): boolean {
    return this.#entries.isAtEnd
  }

  get isWaiting(): boolean {
    return this.#rows.completeCount > 0 || this.#passed.length > 0 || this.#entries.isHolding
  }

  get position(): number {
    return this.#ordinal
  }

  next(flush: boolean): Item[] {
    return this.#entries.next(flush)
  }

  points(entry: JournalPoints): void {
    const from = this.#options.from.seq
    const filtered = filteredOf(entry, from)
    if (filtered > 0) {
      // before the rows that this frame completes: no row is committed before what is read with it
      const seq = Math.max(entry.seq, from)
      this.#passed.push(settledItem({ ...this.placeOf(), seq }, { filtered }))
    }
    this.#rows.add(entry)
  }

  cut(): Item[] {
    if (this.#passed.length > 0) return this.#passed.splice(0)
    const { completeCount, completePoints } = this.#rows
    const { maxItems, maxBytes } = this.#options.limits
    // of wide rows `maxItems` would be more than the memory holds
    const bytes = completePoints * this.#leastPointBytes + completeCount * this.#rowBytes
    return completeCount >= maxItems || bytes >= maxBytes ? this.#items() : []
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
    this.#rows.closeAll()
  }

  commit(item: Item): void {
    if (item.rows !== undefined) this.#rows.settle(item.rows)
  }

  release(item: Item): void {
    const columns = this.#columnsOf.get(item)
    if (columns === undefined) return
    this.#columnsOf.delete(item)
    giveRowColumns(columns)
  }

  place(uncommitted: readonly Item[]): Place {
    const passive = uncommitted.find((item) => item.points === undefined) ?? this.#passed[0]
    const read = this.#entries.seq
    const seq = Math.max(passive?.seq ?? read, this.#options.from.seq)
    return this.#rows.placeAt(seq, read)
  }

  close(): void {
    this.#entries.close()
  }

  #allItems(): Item[] {
    const items: Item[] = []
    while (this.#rows.completeCount > 0) items.push(...this.#items())
    return items
  }

  /** One batch of complete rows; several for a row that no batch can hold, with its parts. */
  #items(): Item[] {
    const { maxItems, maxBytes } = this.#options.limits
    const rows: OpenRow[] = []
    const starts = [0]
    let bytes = 0
    const columns = takeRowColumns()
    while (this.#rows.completeCount > 0 && rows.length < maxItems) {
      const row = this.#rows.next
      const start = columns.length
      columns.append(row.step, row.parts)
      bytes += this.#rowBytes + this.#bytes(columns, start)
      if (bytes > maxBytes) {
        if (rows.length === 0) {
          this.#rows.takeNext()
          return this.#split(row, columns)
        }
        // It is the first of the next batch.
        columns.length = start
        break
      }
      this.#rows.takeNext()
      rows.push(row)
      starts.push(columns.length)
    }
    const losers = rows.map(({ count }, at) => count - (starts[at + 1]! - starts[at]!))
    const numbers = rows.map(({ row }) => row)
    const item = this.#item(columns, starts, losers, numbers)
    this.#columnsOf.set(item, columns)
    return [item]
  }

  #bytes(columns: RowColumns, start: number): number {
    let bytes = 0
    for (let at = start; at < columns.length; at++) bytes += this.#bounds.of(columns.series[at]!)
    return bytes
  }

  /** The row that the columns hold, in parts; a point that no batch can hold is a part that is refused. */
  #split({ row, count }: OpenRow, columns: RowColumns): Item[] {
    const { maxBytes } = this.#options.limits
    const rowBytes = this.#rowBytes
    const items: Item[] = []
    const add = (start: number, end: number, refusal?: Item['refusal']): void => {
      if (start === end) return
      // The losers belong to the row, and go with whichever part is first.
      const losers = items.length === 0 ? count - columns.length : 0
      items.push({ ...this.#item(columns, [start, end], [losers], []), ...(refusal && { refusal }) })
    }
    let start = 0
    let bytes = rowBytes
    const { length } = columns
    for (let at = 0; at < length; at++) {
      const bound = this.#bounds.of(columns.series[at]!)
      if (bytes + bound > maxBytes) {
        add(start, at)
        start = at
        bytes = rowBytes
      }
      bytes += bound
      if (rowBytes + bound <= maxBytes) continue
      add(at, at + 1, oversizeRefusal(rowBytes + bound, maxBytes))
      start = at + 1
      bytes = rowBytes
    }
    add(start, length)
    // None is committed before all are settled.
    const { to } = items.at(-1)!
    return items.map((item, at) => ({ ...item, to, rows: at === items.length - 1 ? [row] : [] }))
  }

  /** @param rows that are settled with it */
  #item(
    columns: RowColumns,
    starts: readonly number[],
    losers: readonly number[],
    rows: readonly number[],
  ): Item {
    const first = starts[0]!
    const end = starts.at(-1)!
    const { seq } = columns
    const { reader } = this.#options
    const batch: Batch = {
      seq: seq[first]!,
      length: end - first,
      series: columns.series.subarray(first, end),
      step: columns.step.subarray(first, end),
      time: columns.time.subarray(first, end),
      value: columns.value.subarray(first, end),
      rows: Uint32Array.from(starts, (start) => start - first),
      describe: (id) => reader.series(id),
    }
    return openItem({
      ...this.placeOf(),
      seq: batch.seq,
      points: { batch, seqOf: (index) => seq[first + index]!, losers },
      rows,
    })
  }
}
