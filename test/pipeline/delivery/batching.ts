/** Random journals, and their delivery by a batcher with answers in random order and kills in between. */
import assert from 'node:assert/strict'
import type { JournalEntry, SinkCapabilities, SinkLimits } from '../../../src/core/types.ts'
import type { Batcher, Place } from '../../../src/pipeline/delivery/batcher.ts'
import { type Filters, NO_FILTERS } from '../../../src/pipeline/delivery/filter.ts'
import type { Item } from '../../../src/pipeline/delivery/item.ts'
import { PointBatcher } from '../../../src/pipeline/delivery/point-batcher.ts'
import { Prefix } from '../../../src/pipeline/delivery/prefix.ts'
import { RowBatcher } from '../../../src/pipeline/delivery/row-batcher.ts'
import type { Random } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'

/** A journal as a drain thread might write it: rows of several producers in pieces, marks late, damage, sessions. */
export function randomJournal(random: Random): MemoryJournal {
  const journal = new MemoryJournal()
  let nextRow = 0
  let open: { row: number; step: number }[] = []
  for (let frame = 0; frame < 5 + random.below(20); frame++) {
    const kind = random.below(12)
    if (kind === 0) journal.record({ kind: 'params', params: { a: frame } })
    else if (kind === 1) journal.record({ kind: 'state', state: 'running', time: frame })
    else if (kind === 2) journal.corrupt(random.below(5), random.below(2))
    else if (kind === 3) {
      journal.session()
      open = []
    } else {
      while (open.length < 1 + random.below(4)) open.push({ row: nextRow, step: nextRow++ })
      const points = Array.from({ length: random.below(9) }, () => {
        const { row, step } = random.pick(open)
        return [row, step, `s${random.below(4)}`, random.next()] as const
      })
      const closed = open.filter(() => random.below(3) === 0)
      open = open.filter((row) => !closed.includes(row))
      journal.frame(
        points,
        closed.map(({ row }) => row),
      )
    }
  }
  return journal
}

export interface Arrived {
  /** Sequence numbers: of points, of records and of gaps; those of points alone. */
  readonly seqs: number[]
  readonly points: number[]
  /** Rows in the order of their commit: points that count, and how many lost. */
  readonly rows: { step: number; points: string[]; losers: number }[]
  records: number
  /** Points and records that were filtered. */
  filtered: number
  recordsFiltered: number
}

/** What must arrive at a sink that takes rows: each once, when it is complete; of a series the last point. */
export function modelRows(
  entries: readonly JournalEntry[],
  name: (id: number) => string,
  keeps: (seq: number) => boolean = () => true,
): Arrived['rows'] {
  const open = new Map<number, { step: number; values: Map<string, number>; count: number }>()
  const rows: Arrived['rows'] = []
  const close = (number: number) => {
    const row = open.get(number)
    if (row === undefined) return
    open.delete(number)
    const points = [...row.values].map(([series, value]) => `${series}=${value}`)
    rows.push({ step: row.step, points, losers: row.count - points.length })
  }
  for (const entry of entries) {
    if (entry.kind === 'session') for (const number of [...open.keys()]) close(number)
    if (entry.kind !== 'points') continue
    for (let at = 0; at < entry.points.length; at++) {
      if (!keeps(entry.seq + at)) continue
      const step = entry.points.step[at]!
      const row = open.get(entry.row[at]!) ?? { step, values: new Map(), count: 0 }
      open.set(entry.row[at]!, row)
      row.values.set(name(entry.points.series[at]!), entry.points.value[at]!)
      row.count++
    }
    for (const number of entry.closed) close(number)
  }
  for (const number of [...open.keys()]) close(number)
  return rows
}

/** Delivers with answers in random order, and with kills: then it goes on from the place that was last saved. */
export function deliver(
  journal: MemoryJournal,
  shape: 'points' | 'rows',
  limits: SinkLimits,
  random: Random,
  /** Made anew at each start. */
  filters: () => Filters = () => NO_FILTERS,
): Arrived {
  const capabilities = { shape, records: ['params', 'state'] } as unknown as SinkCapabilities
  let from: Place = { seq: 0, back: 0 }
  let saved: Arrived = { seqs: [], points: [], rows: [], records: 0, filtered: 0, recordsFiltered: 0 }
  let kills = 0
  for (;;) {
    const arrived = structuredClone(saved)
    const options = { reader: journal.reader(from.back), limits, capabilities, from, filters: filters() }
    const batcher: Batcher = shape === 'rows' ? new RowBatcher(options) : new PointBatcher(options)
    const prefix = new Prefix()
    let hasEnded = false
    for (;;) {
      if (random.below(2) === 0) {
        const items = batcher.next(hasEnded || random.below(5) === 0)
        for (const item of items) {
          assertWithin(item, limits)
          prefix.add(item)
        }
        if (items.length === 0 && batcher.isAtEnd) {
          if (hasEnded && prefix.isEmpty && !batcher.isWaiting) return arrived
          hasEnded = true
          batcher.endRun()
        }
      }
      const open = prefix.items.filter((item) => !item.isSettled)
      if (open.length > 0 && random.below(3) > 0) {
        const item = limits.inFlight === 1 ? open[0]! : random.pick(open)
        item.isSettled = true
      }
      for (const item of prefix.commit(batcher.position)) {
        take(item, arrived, journal)
        batcher.commit(item)
        batcher.release(item)
      }
      if (random.below(4) === 0) {
        const place = batcher.place(prefix.items)
        assert.ok(place.seq >= from.seq && place.back <= place.seq)
        from = place
        saved = structuredClone(arrived)
        // Often enough while what is between `back` and `seq` is being read again.
        if (kills < 30 && random.below(4) === 0) {
          kills++
          break
        }
      }
    }
  }
}

function assertWithin(item: Item, { maxItems, maxBytes, pointBytes, rowBytes = 0 }: SinkLimits): void {
  if (item.points === undefined || item.refusal !== undefined) return
  const { batch } = item.points
  const items = batch.rows === undefined ? batch.length : batch.rows.length - 1
  assert.ok(items > 0 && items <= maxItems)
  const rows = batch.rows === undefined ? 0 : items
  assert.ok(batch.length * pointBytes(2) + rows * rowBytes <= maxBytes)
}

function take(item: Item, arrived: Arrived, journal: MemoryJournal): void {
  arrived.filtered += item.filtered ?? item.sums.filtered
  arrived.recordsFiltered += item.sums.recordsFiltered
  if (item.record !== undefined) {
    arrived.records++
    arrived.seqs.push(item.seq)
  }
  if (item.points === undefined) {
    if (item.record === undefined) {
      for (let at = 0; at < item.sums.corrupt + item.sums.recordsCorrupt; at++)
        arrived.seqs.push(item.seq + at)
    }
    return
  }
  const { batch, losers, seqOf } = item.points
  for (let at = 0; at < batch.length; at++) {
    arrived.seqs.push(seqOf(at))
    arrived.points.push(seqOf(at))
    assert.equal(batch.value[at], journal.valueOf(seqOf(at)))
  }
  if (batch.rows === undefined) return
  for (let row = 0; row + 1 < batch.rows.length; row++) {
    const points: string[] = []
    for (let at = batch.rows[row]!; at < batch.rows[row + 1]!; at++) {
      points.push(`${batch.describe(batch.series[at]!).name}=${batch.value[at]}`)
    }
    const step = batch.step[batch.rows[row]!]!
    const last = arrived.rows.at(-1)
    // Parts of one row follow each other.
    if (last?.step === step) {
      last.points.push(...points)
      last.losers += losers![row]!
    } else arrived.rows.push({ step, points, losers: losers![row]! })
  }
}

export function limitsOf(random: Random, inFlight: number): SinkLimits {
  return {
    maxItems: 1 + random.below(8),
    maxBytes: random.below(3) === 0 ? 25 : 1e6,
    pointBytes: () => 10,
    rowBytes: random.below(3) * 5,
    inFlight,
    lingerMs: 0,
  }
}
