import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JournalEntry, SinkCapabilities, SinkLimits } from '../../../src/core/types.ts'
import type { Batcher, Place } from '../../../src/pipeline/delivery/batcher.ts'
import type { Item } from '../../../src/pipeline/delivery/item.ts'
import { PointBatcher } from '../../../src/pipeline/delivery/point-batcher.ts'
import { Prefix } from '../../../src/pipeline/delivery/prefix.ts'
import { RowBatcher } from '../../../src/pipeline/delivery/row-batcher.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'

const ROUNDS = 300

/** A journal as a drain thread might write it: rows of several producers in pieces, marks late, damage, sessions. */
function randomJournal(random: Random): MemoryJournal {
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

interface Arrived {
  /** Sequence numbers: of points, of records and of gaps; those of points alone. */
  readonly seqs: number[]
  readonly points: number[]
  /** Rows in the order of their commit: points that count, and how many lost. */
  readonly rows: { step: number; points: string[]; losers: number }[]
  records: number
}

/** What must arrive at a sink that takes rows: each once, when it is complete; of a series the last point. */
function modelRows(entries: readonly JournalEntry[], name: (id: number) => string): Arrived['rows'] {
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
function deliver(
  journal: MemoryJournal,
  shape: 'points' | 'rows',
  limits: SinkLimits,
  random: Random,
): Arrived {
  const capabilities = { shape, records: ['params', 'state'] } as unknown as SinkCapabilities
  let from: Place = { seq: 0, back: 0 }
  let saved: Arrived = { seqs: [], points: [], rows: [], records: 0 }
  let kills = 0
  for (;;) {
    const arrived = structuredClone(saved)
    const options = { reader: journal.reader(from.back), limits, capabilities, from }
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
        take(item, arrived)
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

function assertWithin(item: Item, { maxItems, maxBytes, pointBytes }: SinkLimits): void {
  if (item.points === undefined || item.refusal !== undefined) return
  const { batch } = item.points
  const items = batch.rows === undefined ? batch.length : batch.rows.length - 1
  assert.ok(items > 0 && items <= maxItems)
  assert.ok(batch.length * pointBytes(2) <= maxBytes)
}

function take(item: Item, arrived: Arrived): void {
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

function limitsOf(random: Random, inFlight: number): SinkLimits {
  return {
    maxItems: 1 + random.below(8),
    maxBytes: random.below(3) === 0 ? 25 : 1e6,
    pointBytes: () => 10,
    inFlight,
    lingerMs: 0,
  }
}

describe(`batches, seed ${SEED}`, () => {
  for (const inFlight of [1, 3]) {
    test(`B2 points: each sequence number once and exactly, whatever is killed, ${inFlight} in flight`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        const random = new Random(SEED + round)
        const journal = randomJournal(random)
        const { seqs, points } = deliver(journal, 'points', limitsOf(random, inFlight), random)
        if (inFlight === 1)
          assert.deepEqual(
            points,
            [...points].sort((a, b) => a - b),
          )
        assert.deepEqual(
          seqs.sort((a, b) => a - b),
          Array.from({ length: journal.seq }, (_, seq) => seq),
          `seed ${SEED}, round ${round}`,
        )
      }
    })
  }

  test('W1 W2 W3 rows: each once, complete, in the order of completion, whatever is killed', () => {
    for (let round = 0; round < ROUNDS; round++) {
      const random = new Random(SEED + round)
      const journal = randomJournal(random)
      const limits = limitsOf(random, 1 + random.below(3))
      const { rows, records } = deliver(journal, 'rows', limits, random)
      const expected = modelRows(journal.entries, (id) => journal.names[id]!.name)
      assert.deepEqual(rows, expected, `seed ${SEED}, round ${round}`)
      assert.equal(records, journal.entries.filter(({ kind }) => kind === 'record').length)
    }
  })

  test('an open row holds up nothing, and is rebuilt from back after a restart', () => {
    const journal = new MemoryJournal().frame([[0, 0, 'a', 1]])
    for (let row = 1; row <= 50; row++) journal.frame([[row, row, 'a', row]], [row])
    const capabilities = { shape: 'rows', records: [] } as unknown as SinkCapabilities
    const limits: SinkLimits = { maxItems: 10, maxBytes: 1e6, pointBytes: () => 1, inFlight: 1, lingerMs: 0 }
    const read = (from: Place): { batcher: Batcher; steps: number[]; prefix: Prefix } => {
      const batcher = new RowBatcher({ reader: journal.reader(from.back), limits, capabilities, from })
      const prefix = new Prefix()
      const steps: number[] = []
      for (;;) {
        const items = batcher.next(true)
        for (const item of items) {
          prefix.add(item)
          steps.push(...item.points!.batch.step)
          item.isSettled = true
        }
        for (const item of prefix.commit(batcher.position)) batcher.commit(item)
        if (items.length === 0 && batcher.isAtEnd) return { batcher, steps, prefix }
      }
    }
    const first = read({ seq: 0, back: 0 })
    assert.equal(first.steps.length, 50)
    const place = first.batcher.place(first.prefix.items)
    assert.deepEqual(place, { seq: 51, back: 0, rows: [[0, 0]] })
    journal.frame([[0, 0, 'b', 2]], [0])
    const second = read(place)
    assert.deepEqual(second.steps, [0, 0])
    assert.deepEqual(second.batcher.place([]), { seq: 52, back: 52 })
  })

  test('W4 a row that no batch can hold is sent in parts that are committed together', () => {
    const journal = new MemoryJournal().frame(
      Array.from({ length: 7 }, (_, index) => [0, 0, `s${index}`, index] as const),
      [0],
    )
    const capabilities = { shape: 'rows', records: [] } as unknown as SinkCapabilities
    const limits: SinkLimits = { maxItems: 10, maxBytes: 30, pointBytes: () => 10, inFlight: 1, lingerMs: 0 }
    const from = { seq: 0, back: 0 }
    const batcher = new RowBatcher({ reader: journal.reader(), limits, capabilities, from })
    const items = batcher.next(true)
    assert.deepEqual(
      items.map((item) => item.points?.batch.length),
      [3, 3, 1],
    )
    const prefix = new Prefix()
    for (const item of items) prefix.add(item)
    items[0]!.isSettled = true
    items[1]!.isSettled = true
    assert.deepEqual(prefix.commit(batcher.position), [])
    assert.deepEqual(batcher.place(prefix.items), { seq: 7, back: 0, rows: [[0, 0]] })
    items[2]!.isSettled = true
    assert.equal(prefix.commit(batcher.position).length, 3)
  })
})
