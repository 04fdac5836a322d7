/** A unit of delivery: what one `write` takes, or something that settles without one. */
import type { ErrorCode } from '../../core/errors.ts'
import type { Batch, RunRecord, SeriesId, SinkState } from '../../core/types.ts'

export interface SettledSums {
  delivered: number
  superseded: number
  filtered: number
  rejected: number
  corrupt: number
  recordsDelivered: number
  recordsFiltered: number
  recordsRejected: number
  recordsCorrupt: number
  elsewhere: number
}

export function emptySums(): SettledSums {
  return {
    delivered: 0,
    superseded: 0,
    filtered: 0,
    rejected: 0,
    corrupt: 0,
    recordsDelivered: 0,
    recordsFiltered: 0,
    recordsRejected: 0,
    recordsCorrupt: 0,
    elsewhere: 0,
  }
}

export function addSums(target: SettledSums, sums: Partial<Readonly<SettledSums>>): void {
  for (const [name, count] of Object.entries(sums)) target[name as keyof SettledSums] += count
}

/** The points of a batch, and what finds their way back into the journal. */
export interface ItemPoints {
  readonly batch: Batch
  /** Sequence number of point i of the batch. */
  seqOf(index: number): number
  /**
   * Row sinks: points of each row of the batch that lost to a later one of their series. They are delivered and
   * superseded once the row is settled, whatever becomes of it.
   */
  readonly losers?: readonly number[]
}

export interface Item {
  /**
   * Place in the order of delivery, `to` exclusive. Point sinks: sequence numbers; a batch may enclose records.
   * Row sinks: running numbers; `to` reaches to the end of a later item when only all of them together may be committed.
   */
  readonly from: number
  readonly to: number
  /** First sequence number of what it holds; for a record or a gap the journal's position. */
  readonly seq: number
  /** None of `points`, `record` and `gone`: a gap, settled as it comes. */
  readonly points?: ItemPoints
  readonly record?: RunRecord
  /** Rows only name the record: its upload settles it, whatever becomes of the mention. */
  readonly isMention?: true
  /** How much the journal does not hold any more: refused in one letter. */
  readonly gone?: { readonly points: number; readonly records: number }
  /** Points of its stretch that are not for the destination: they settle with it. */
  readonly filtered?: number
  /** It exceeds the sink's limits by itself: rejected without a write. */
  readonly refusal?: { readonly code: ErrorCode; readonly reason: string }
  /** Rows that are settled with this item. */
  readonly rows?: readonly number[]
  readonly sums: SettledSums
  isSettled: boolean
  /** A write of it has not been answered yet. */
  isUnderWay: boolean
  /** A write of it has failed in a way that may have stored it. */
  isUnclear: boolean
  /** How often a write of it was given up since nothing was heard. */
  silences: number
  /** Of the settling answer; `hasState` tells a state of undefined from none. */
  state: SinkState
  hasState: boolean
}

type ItemShape = Pick<Item, 'from' | 'to' | 'seq'> &
  Partial<Pick<Item, 'points' | 'record' | 'isMention' | 'gone' | 'refusal' | 'rows' | 'filtered'>>

export function openItem(shape: ItemShape): Item {
  return {
    ...shape,
    sums: emptySums(),
    isSettled: false,
    isUnderWay: false,
    isUnclear: false,
    silences: 0,
    state: undefined,
    hasState: false,
  }
}

/** An item that needs no write. */
export function settledItem(shape: ItemShape, sums: Partial<SettledSums>): Item {
  const item = openItem(shape)
  Object.assign(item.sums, sums)
  item.isSettled = true
  return item
}

export function isState(item: Item): boolean {
  return item.record?.kind === 'state'
}

/** Sinks may remove what stands before it: nothing overtakes it, in either direction. */
export function isRewind(item: Item): boolean {
  return item.record?.kind === 'rewind'
}

/** Items of the batch, as the sink counts them: rows, or points. A record is one. */
export function itemCount(item: Item): number {
  if (item.points === undefined) return 1
  const { batch } = item.points
  return batch.rows === undefined ? batch.length : batch.rows.length - 1
}

/** Both halves of an item of more than one; together they hold exactly what it held. */
export function halve(item: Item): [Item, Item] {
  const { batch, losers, seqOf } = item.points!
  const middle = itemCount(item) >> 1
  const pointMiddle = batch.rows === undefined ? middle : batch.rows[middle]!
  const describe = (id: SeriesId) => batch.describe(id)
  const part = (start: number, end: number, firstRow: number, lastRow: number): ItemPoints => ({
    batch: {
      seq: seqOf(start),
      length: end - start,
      series: batch.series.subarray(start, end),
      step: batch.step.subarray(start, end),
      time: batch.time.subarray(start, end),
      value: batch.value.subarray(start, end),
      ...(batch.rows && { rows: batch.rows.slice(firstRow, lastRow + 1).map((at) => at - start) }),
      describe,
    },
    seqOf: (index) => seqOf(start + index),
    ...(losers && { losers: losers.slice(firstRow, lastRow) }),
  })
  const first = part(0, pointMiddle, 0, middle)
  const second = part(pointMiddle, batch.length, middle, itemCount(item))
  // Only both together may be committed: the first reaches into the second.
  return [
    openItem({ from: item.from, to: item.to, seq: first.batch.seq, points: first }),
    openItem({
      from: item.from,
      to: item.to,
      seq: second.batch.seq,
      points: second,
      ...(item.rows && { rows: item.rows }),
      ...(item.filtered && { filtered: item.filtered }),
    }),
  ]
}
