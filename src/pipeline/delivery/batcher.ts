/**
 * From a journal to the items that are delivered: what every shape of sink has in common.
 *
 *  B1  Items are a pure function of the journal from the cursor on, but for where a batch was cut because the
 *      journal had no more.
 *  B2  Every sequence number from the cursor on belongs to exactly one item.
 *  B3  A batch is within the sink's limits. A point that alone exceeds them is an item that is refused unseen.
 */
import type { ErrorCode } from '../../core/errors.ts'
import type {
  Cursor,
  JournalEntry,
  JournalReader,
  RunRecord,
  SeriesId,
  SinkCapabilities,
  SinkLimits,
  UnknownRecord,
} from '../../core/types.ts'
import { type Filters, filterFrame, NO_FILTERS } from './filter.ts'
import { type Item, openItem, settledItem } from './item.ts'

/** So that a run of tiny frames ends a turn, too. */
const MAX_ENTRIES_PER_CALL = 128

export type Place = Pick<Cursor, 'seq' | 'back' | 'rows'>

export interface Batcher {
  /**
   * The next items, in order; none when the journal has no more or the turn has been long enough (`isAtEnd`).
   * @param flush hand out a batch that is not full when the journal has no more
   */
  next(flush: boolean): Item[]
  /** Whether the last `next` read all that is written. */
  readonly isAtEnd: boolean
  /** Whether points wait for their batch to be filled. */
  readonly isWaiting: boolean
  /** No item to come begins before it. */
  readonly position: number
  /** The journal is at its end and nothing will be added: rows that are open are complete. */
  endRun(): void
  /** The item is settled and so is everything before it. */
  commit(item: Item): void
  /** The item's columns may be used again. */
  release(item: Item): void
  /** Where to begin again when these items, in order, are the first that are not committed. */
  place(uncommitted: readonly Item[]): Place
  close(): void
}

export interface BatcherOptions {
  readonly reader: JournalReader
  readonly limits: SinkLimits
  readonly capabilities: SinkCapabilities
  readonly from: Place
  /** Default: everything is for the destination. */
  readonly filters?: Filters
}

export type JournalRecord = RunRecord | UnknownRecord

export interface JournalPoints {
  readonly seq: number
  readonly points: {
    readonly length: number
    readonly series: Uint32Array
    readonly step: Float64Array
    readonly time: Float64Array
    readonly value: Float64Array
  }
  readonly row: Uint32Array
  readonly closed: Uint32Array
  /** Only where some were filtered: the place of each point among the `count` of the frame. */
  readonly at?: Uint32Array
  readonly count?: number
}

/** What a shape of sink does with what is read. */
export interface Shape {
  /** Items that can be cut from what was taken; the next points are read only when there are none. */
  cut(): Item[]
  points(entry: JournalPoints): void
  /** Items to be handed out before the record. */
  beforeRecord(record: JournalRecord): Item[]
  /** Place of a record or gap of `count` sequence numbers. */
  placeOf(seq: number, count: number): { from: number; to: number }
  session(): void
  /** What is left, full or not. */
  flush(): Item[]
}

/** Reads entries for a shape until it has items. */
export class EntryReader {
  isAtEnd = false
  readonly #reader: JournalReader
  readonly #shape: Shape
  readonly #kinds: ReadonlySet<string>
  /** Settled by the destination's other delivery. */
  readonly #elsewhere: ReadonlySet<string>
  /** Of these, those that rows have to name. */
  readonly #mentions: ReadonlySet<string>
  /** Records and gaps below are settled. */
  readonly #settledBelow: number
  readonly #filters: Filters
  /** Read, and waiting for a filter that is not ready. */
  #held: (JournalPoints & { readonly kind: 'points' }) | undefined

  constructor(options: BatcherOptions, shape: Shape) {
    this.#reader = options.reader
    this.#shape = shape
    this.#kinds = new Set(options.capabilities.records)
    this.#elsewhere = new Set(options.capabilities.uploads)
    this.#mentions = new Set(options.capabilities.mentions)
    this.#settledBelow = options.from.seq
    this.#filters = options.filters ?? NO_FILTERS
  }

  /** Everything below has been given to the shape. */
  get seq(): number {
    return this.#held?.seq ?? this.#reader.seq
  }

  get isHolding(): boolean {
    return this.#held !== undefined
  }

  next(flush: boolean): Item[] {
    this.isAtEnd = false
    for (let entries = 0; entries < MAX_ENTRIES_PER_CALL; entries++) {
      const items = this.#shape.cut()
      if (items.length > 0) return items
      const entry = this.#held ?? this.#reader.next()
      if (entry === undefined) {
        this.isAtEnd = true
        return flush ? this.#shape.flush() : []
      }
      if (entry.kind === 'points') {
        if (!this.#points(entry)) return []
      } else if (entry.kind === 'session') this.#shape.session()
      else if (entry.kind === 'record') {
        const items = this.#record(entry.seq, entry.record)
        if (items.length > 0) return items
      } else {
        const gap = this.#gap(entry)
        if (gap !== undefined) return [gap]
      }
    }
    return []
  }

  close(): void {
    this.#reader.close()
    for (const filter of this.#filters.points) filter.close?.()
  }

  /** False: a filter is not ready, the frame comes again. */
  #points(entry: JournalPoints & { readonly kind: 'points' }): boolean {
    const { points } = this.#filters
    if (points.length === 0) {
      this.#shape.points(entry)
      return true
    }
    // a filter may save the cursor, which must not be behind the frame yet
    this.#held = entry
    if (!points.every((filter) => filter.isReady?.(entry) ?? true)) return false
    this.#held = undefined
    this.#shape.points(filterFrame(entry, points))
    return true
  }

  #record(seq: number, record: JournalRecord): Item[] {
    for (const filter of this.#filters.points) filter.met?.(seq, record)
    if (seq < this.#settledBelow) return []
    if (!this.#filters.records.every((filter) => filter.keeps(seq, record)))
      return [settledItem({ ...this.#shape.placeOf(seq, 1), seq }, { recordsFiltered: 1 })]
    const isElsewhere = this.#elsewhere.has(record.kind)
    const isMention = isElsewhere && this.#mentions.has(record.kind)
    if (isElsewhere && !isMention)
      return [settledItem({ ...this.#shape.placeOf(seq, 1), seq }, { elsewhere: 1 })]
    const before = this.#shape.beforeRecord(record)
    const place = { ...this.#shape.placeOf(seq, 1), seq }
    if (record.kind === 'unknown' || !(isMention || this.#kinds.has(record.kind)))
      return [...before, settledItem(place, { recordsFiltered: 1 })]
    return [...before, openItem({ ...place, record, ...(isMention && { isMention }) })]
  }

  /** The cursor may lie within the gap: what is below it was delivered before it was damaged or removed. */
  #gap({
    kind,
    seq,
    points,
    records,
  }: Extract<JournalEntry, { kind: 'corrupt' | 'gone' }>): Item | undefined {
    const below = Math.max(0, this.#settledBelow - seq)
    const count = points + records - below
    if (count <= 0) return undefined
    const pointsLeft = Math.max(0, points - below)
    const place = { ...this.#shape.placeOf(seq + below, count), seq: seq + below }
    const left = { points: pointsLeft, records: count - pointsLeft }
    // told in a letter before it is settled
    if (kind === 'gone') return openItem({ ...place, gone: left, refusal: historyGone(place.seq, count) })
    return settledItem(place, { corrupt: left.points, recordsCorrupt: left.records })
  }
}

/** Bound of the encoded size of a point, by series. */
export class PointBounds {
  #bytes = new Float64Array(64)
  readonly #reader: JournalReader
  readonly #limits: SinkLimits

  constructor(options: BatcherOptions) {
    this.#reader = options.reader
    this.#limits = options.limits
  }

  of(series: SeriesId): number {
    const known = this.#bytes[series]
    return known !== undefined && known > 0 ? known : this.#measure(series)
  }

  #measure(series: SeriesId): number {
    if (series >= this.#bytes.length) {
      const grown = new Float64Array(Math.max(series + 1, this.#bytes.length * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    const { name, context } = this.#reader.series(series)
    return (this.#bytes[series] = Math.max(
      1,
      this.#limits.pointBytes(Buffer.byteLength(name) + Buffer.byteLength(context)),
    ))
  }
}

function historyGone(seq: number, count: number): { code: ErrorCode; reason: string } {
  return {
    code: 'ERR_HISTORY_GONE',
    reason: `records ${seq} to ${seq + count - 1} were removed before they were delivered there, ${seq + count} is the first one left`,
  }
}

export function oversizeRefusal(bytes: number, maxBytes: number): { code: ErrorCode; reason: string } {
  return {
    code: 'ERR_REFUSED',
    reason: `up to ${bytes} bytes when sent, and the backend takes ${maxBytes} at once`,
  }
}
