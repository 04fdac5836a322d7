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

interface OpenRow {
  readonly row: number
  readonly step: number
  readonly series: number[]
  readonly value: number[]
  readonly time: number[]
  readonly seq: number[]
}

export class RowBatcher implements Batcher, Shape {
  readonly #options: BatcherOptions
  readonly #entries: EntryReader
  readonly #bounds: PointBounds
  readonly #open = new Map<number, OpenRow>()
  /** Complete rows, not in an item yet. */
  #complete: OpenRow[] = []
  #completeAt = 0
  /** First point of each row that is not committed. */
  readonly #unsettled = new Map<number, number>()
  /** Rows that the cursor names and that have not been met again. */
  readonly #owed = new Set<number>()
  #ordinal = 0
  /** Stands in #seenIn for each series that the row at hand has had, at index #seenAt of #kept. */
  #generation = 0
  #seenIn = new Uint32Array(64)
  #seenAt = new Uint32Array(64)

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
    let row = this.#open.get(number)
    if (row === undefined) {
      this.#owed.delete(number)
      row = { row: number, step: points.step[at]!, series: [], value: [], time: [], seq: [] }
      this.#open.set(number, row)
      this.#unsettled.set(number, entry.seq + at)
    }
    for (; at < end; at++) {
      row.series.push(points.series[at]!)
      row.value.push(points.value[at]!)
      row.time.push(points.time[at]!)
      row.seq.push(entry.seq + at)
    }
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
    const rows: SlimRow[] = []
    let bytes = 0
    while (this.isWaiting && rows.length < maxItems) {
      const row = this.#slim(this.#complete[this.#completeAt]!)
      if (bytes + row.bytes > maxBytes) {
        if (rows.length > 0) break
        this.#advance()
        return this.#parts(row)
      }
      this.#advance()
      rows.push(row)
      bytes += row.bytes
    }
    return [this.#item(rows, true)]
  }

  #advance(): void {
    this.#completeAt++
    if (this.#completeAt === this.#complete.length) {
      this.#complete = []
      this.#completeAt = 0
    }
  }

  /** Without the points that lost. */
  #slim(row: OpenRow): SlimRow {
    this.#generation++
    const kept: number[] = []
    let bytes = 0
    for (let index = 0; index < row.series.length; index++) {
      const series = row.series[index]!
      if (series >= this.#seenIn.length) this.#growSeen(series)
      if (this.#seenIn[series] === this.#generation) {
        kept[this.#seenAt[series]!] = index
        continue
      }
      this.#seenIn[series] = this.#generation
      this.#seenAt[series] = kept.length
      kept.push(index)
      bytes += this.#bounds.of(series)
    }
    return { row, kept, bytes, losers: row.series.length - kept.length }
  }

  #growSeen(series: number): void {
    const length = Math.max(series + 1, this.#seenIn.length * 2)
    const seenIn = new Uint32Array(length)
    const seenAt = new Uint32Array(length)
    seenIn.set(this.#seenIn)
    seenAt.set(this.#seenAt)
    this.#seenIn = seenIn
    this.#seenAt = seenAt
  }

  #parts({ row, kept, losers }: SlimRow): Item[] {
    const { maxBytes } = this.#options.limits
    const parts: SlimRow[] = []
    const refused: Item[] = []
    let part: number[] = []
    let bytes = 0
    const endPart = () => {
      // The losers belong to the row, and go with whichever part is first.
      if (part.length > 0) parts.push({ row, kept: part, bytes, losers: parts.length === 0 ? losers : 0 })
      part = []
      bytes = 0
    }
    for (const index of kept) {
      const bound = this.#bounds.of(row.series[index]!)
      if (bound > maxBytes) {
        const alone = { row, kept: [index], bytes: bound, losers: 0 }
        refused.push({ ...this.#item([alone], false), refusal: oversizeRefusal(bound, maxBytes) })
        continue
      }
      if (bytes + bound > maxBytes) endPart()
      part.push(index)
      bytes += bound
    }
    endPart()
    if (parts.length === 0) return this.#onlyRefused(row, refused, losers)
    return together([...refused, ...parts.map((slim, at) => this.#item([slim], at === parts.length - 1))])
  }

  /** Nothing of the row can be sent: the last refusal settles it. */
  #onlyRefused(row: OpenRow, refused: Item[], losers: number): Item[] {
    const last = refused.pop()!
    this.#ordinal = last.from
    const place = this.placeOf()
    const points = { ...last.points!, losers: [losers] }
    return together([...refused, { ...last, ...place, points, rows: [row.row] }])
  }

  /** @param isLast whether the rows are settled with it */
  #item(rows: readonly SlimRow[], isLast: boolean): Item {
    const length = rows.reduce((sum, { kept }) => sum + kept.length, 0)
    const bounds = new Uint32Array(rows.length + 1)
    const columns = {
      series: new Uint32Array(length),
      step: new Float64Array(length),
      time: new Float64Array(length),
      value: new Float64Array(length),
    }
    const seqs = new Float64Array(length)
    let at = 0
    for (const [index, { row, kept }] of rows.entries()) {
      bounds[index] = at
      for (const point of kept) {
        columns.series[at] = row.series[point]!
        columns.step[at] = row.step
        columns.time[at] = row.time[point]!
        columns.value[at] = row.value[point]!
        seqs[at] = row.seq[point]!
        at++
      }
    }
    bounds[rows.length] = at
    const { reader } = this.#options
    const batch: Batch = {
      seq: seqs[0]!,
      length,
      ...columns,
      rows: bounds,
      describe: (id) => reader.series(id),
    }
    return openItem({
      ...this.placeOf(),
      seq: batch.seq,
      points: { batch, seqOf: (index) => seqs[index]!, losers: rows.map(({ losers }) => losers) },
      ...(isLast && { rows: rows.map(({ row }) => row.row) }),
    })
  }
}

/** A row as it is sent: `kept` are the indexes of its points that count. */
interface SlimRow {
  readonly row: OpenRow
  readonly kept: readonly number[]
  readonly bytes: number
  readonly losers: number
}

/** None is committed before all are settled. */
function together(items: Item[]): Item[] {
  const { to } = items.at(-1)!
  return items.map((item) => ({ ...item, to }))
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
