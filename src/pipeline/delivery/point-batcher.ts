/** Batches for sinks that take points as they come: consecutive points, across frames, up to the sink's limits. */
import type { Batch } from '../../core/types.ts'
import {
  type Batcher,
  type BatcherOptions,
  EntryReader,
  type JournalPoints,
  type JournalRecord,
  oversizeRefusal,
  type Place,
  PointBounds,
  type Shape,
} from './batcher.ts'
import { type Columns, giveColumns, takeColumns } from './columns.ts'
import { countOf, indexFrom, seqAt } from './filter.ts'
import { type Item, openItem, settledItem } from './item.ts'

/** Points of a batch that stand side by side in a frame: those of the batch from `index` on. */
interface Span {
  readonly index: number
  readonly start: number
  readonly frame: Pick<JournalPoints, 'seq' | 'at'>
}

/** Sequence number of point `index` of the batch, which the span holds. */
function numberOf({ index: first, start, frame }: Span, index: number): number {
  return seqAt(frame, start + index - first)
}

export class PointBatcher implements Batcher, Shape {
  readonly #options: BatcherOptions
  readonly #entries: EntryReader
  readonly #bounds: PointBounds
  readonly #columnsOf = new WeakMap<Item, Columns>()
  /** The frame being copied, from `#at`. */
  #entry: JournalPoints | undefined
  #at = 0
  /** How much of the journal's frame is in items, filtered points included. */
  #covered = 0
  #columns: Columns | undefined
  #length = 0
  #bytes = 0
  /** Stretch of the batch, and how many points of it were filtered. */
  #from = 0
  #to = 0
  #filtered = 0
  #spans: Span[] = []

  constructor(options: BatcherOptions) {
    this.#options = options
    this.#entries = new EntryReader(options, this)
    this.#bounds = new PointBounds(options)
  }

  get isAtEnd(): boolean {
    return this.#entries.isAtEnd
  }

  get isWaiting(): boolean {
    return this.#length > 0 || this.#entries.isHolding
  }

  get position(): number {
    if (this.#length > 0) return this.#from
    const read = this.#entry === undefined ? this.#entries.seq : this.#entry.seq + this.#covered
    return Math.max(read, this.#options.from.seq)
  }

  next(flush: boolean): Item[] {
    return this.#entries.next(flush)
  }

  points(entry: JournalPoints): void {
    this.#entry = entry
    this.#covered = Math.min(countOf(entry), Math.max(0, this.#options.from.seq - entry.seq))
    this.#at = indexFrom(entry, this.#covered)
  }

  cut(): Item[] {
    const entry = this.#entry
    if (entry === undefined) return []
    const { limits } = this.#options
    const { series, length } = entry.points
    while (this.#at < length) {
      const end = Math.min(length, this.#at + limits.maxItems - this.#length)
      let bytes = this.#bytes
      let at = this.#at
      for (; at < end; at++) {
        const grown = bytes + this.#bounds.of(series[at]!)
        if (grown > limits.maxBytes) break
        bytes = grown
      }
      this.#copy(entry, this.#at, at)
      this.#bytes = bytes
      this.#at = at
      if (this.#length >= limits.maxItems) return [this.#batch()]
      if (at === end) continue
      return this.#length > 0 ? [this.#batch()] : [this.#oversize(entry, this.#at++)]
    }
    this.#entry = undefined
    return this.#passRest(entry)
  }

  /**
   * A sink that bears writes side by side bears a record beside points, too; a run's state follows all else, and what
   * came before a rewind stays before it.
   */
  beforeRecord(record: JournalRecord): Item[] {
    const isApart = record.kind === 'state' || record.kind === 'rewind'
    return this.#options.limits.inFlight === 1 || isApart ? this.flush() : []
  }

  placeOf(seq: number, count: number): { from: number; to: number } {
    return { from: seq, to: seq + count }
  }

  session(): void {}

  flush(): Item[] {
    return this.#length > 0 ? [this.#batch()] : []
  }

  endRun(): void {}

  commit(_item: Item): void {}

  release(item: Item): void {
    const columns = this.#columnsOf.get(item)
    if (columns === undefined) return
    this.#columnsOf.delete(item)
    giveColumns(columns)
  }

  place(uncommitted: readonly Item[]): Place {
    const seq = Math.min(uncommitted[0]?.from ?? Infinity, this.position)
    return { seq, back: seq }
  }

  close(): void {
    if (this.#columns !== undefined) giveColumns(this.#columns)
    this.#columns = undefined
    this.#entries.close()
  }

  /** Filtered points at the end of a frame: with the batch that is being filled, or by themselves. */
  #passRest(entry: JournalPoints): Item[] {
    const from = entry.seq + this.#covered
    const to = entry.seq + countOf(entry)
    if (from === to) return []
    if (this.#length === 0) return [settledItem({ from, to, seq: from }, { filtered: to - from })]
    this.#to = to
    this.#filtered += to - from
    return []
  }

  #copy(entry: JournalPoints, start: number, end: number): void {
    if (start === end) return
    const { points } = entry
    // filtered points behind the last one go with it
    const covered = end === points.length ? countOf(entry) : seqAt(entry, end) - entry.seq
    if (this.#length === 0) this.#from = entry.seq + this.#covered
    this.#filtered += covered - this.#covered - (end - start)
    this.#covered = covered
    this.#to = entry.seq + covered
    this.#span(entry, start)
    const columns = (this.#columns ??= takeColumns(this.#options.limits.maxItems))
    columns.series.set(points.series.subarray(start, end), this.#length)
    columns.step.set(points.step.subarray(start, end), this.#length)
    columns.time.set(points.time.subarray(start, end), this.#length)
    columns.value.set(points.value.subarray(start, end), this.#length)
    this.#length += end - start
  }

  /** The next points of the batch are those of the frame from `start` on. */
  #span(entry: JournalPoints, start: number): void {
    const index = this.#length
    const last = this.#spans.at(-1)
    const goesOn = last !== undefined && last.frame.at === undefined && entry.at === undefined
    if (goesOn && last.frame.seq + last.start + index - last.index === entry.seq + start) return
    this.#spans.push({ index, start, frame: { seq: entry.seq, ...(entry.at && { at: entry.at }) } })
  }

  #batch(): Item {
    const columns = this.#columns!
    const length = this.#length
    const spans = this.#spans
    const { reader } = this.#options
    const batch: Batch = {
      seq: numberOf(spans[0]!, 0),
      length,
      series: columns.series.subarray(0, length),
      step: columns.step.subarray(0, length),
      time: columns.time.subarray(0, length),
      value: columns.value.subarray(0, length),
      describe: (id) => reader.series(id),
    }
    const seqOf = (index: number): number => {
      let span = 0
      for (let high = spans.length; high - span > 1; ) {
        const middle = (span + high) >>> 1
        if (spans[middle]!.index > index) high = middle
        else span = middle
      }
      return numberOf(spans[span]!, index)
    }
    const item = openItem({
      from: this.#from,
      to: this.#to,
      seq: batch.seq,
      points: { batch, seqOf },
      ...(this.#filtered > 0 && { filtered: this.#filtered }),
    })
    this.#columnsOf.set(item, columns)
    this.#columns = undefined
    this.#length = 0
    this.#bytes = 0
    this.#filtered = 0
    this.#spans = []
    return item
  }

  #oversize(entry: JournalPoints, at: number): Item {
    const { points } = entry
    const { reader, limits } = this.#options
    const seq = seqAt(entry, at)
    const from = entry.seq + this.#covered
    this.#covered = seq + 1 - entry.seq
    const filtered = seq - from
    const batch: Batch = {
      seq,
      length: 1,
      series: points.series.slice(at, at + 1),
      step: points.step.slice(at, at + 1),
      time: points.time.slice(at, at + 1),
      value: points.value.slice(at, at + 1),
      describe: (id) => reader.series(id),
    }
    return openItem({
      from,
      to: seq + 1,
      seq,
      points: { batch, seqOf: () => seq },
      ...(filtered > 0 && { filtered }),
      refusal: oversizeRefusal(this.#bounds.of(points.series[at]!), limits.maxBytes),
    })
  }
}
