import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SinkCapabilities, SinkLimits } from '../../../src/core/types.ts'
import type { Batcher, Place } from '../../../src/pipeline/delivery/batcher.ts'
import { Prefix } from '../../../src/pipeline/delivery/prefix.ts'
import { RowBatcher } from '../../../src/pipeline/delivery/row-batcher.ts'
import { Random, SEED } from '../../random.ts'
import { deliver, limitsOf, modelRows, randomJournal } from './batching.ts'
import { MemoryJournal } from './memory-journal.ts'

const ROUNDS = 300

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

  test('wide rows are handed out as soon as they fill a batch: no more of the journal is read ahead', () => {
    const journal = new MemoryJournal()
    for (let row = 0; row < 100; row++)
      journal.frame(
        Array.from({ length: 20 }, (_, index) => [row, row, `s${index}`, index] as const),
        [row],
      )
    const capabilities = { shape: 'rows', records: [] } as unknown as SinkCapabilities
    const limits: SinkLimits = {
      maxItems: 1000,
      maxBytes: 500,
      pointBytes: () => 10,
      inFlight: 1,
      lingerMs: 0,
    }
    const reader = journal.reader()
    const batcher = new RowBatcher({ reader, limits, capabilities, from: { seq: 0, back: 0 } })
    let points = 0
    for (let items = batcher.next(false); items.length > 0; items = batcher.next(false)) {
      points += items.reduce((sum, item) => sum + item.points!.batch.length, 0)
      assert.ok(reader.seq - points <= 50, `${reader.seq - points} points are read ahead`)
    }
    assert.ok(points >= 1960, `${points} points without a flush`)
  })

  test('what each row takes beside its points is counted, in whole rows, in parts and in what is refused', () => {
    const capabilities = { shape: 'rows', records: [] } as unknown as SinkCapabilities
    const from = { seq: 0, back: 0 }
    const lengthsOf = (journal: MemoryJournal, limits: Partial<SinkLimits>, flush = true) => {
      const all = { maxItems: 100, maxBytes: 100, pointBytes: () => 10, inFlight: 1, lingerMs: 0, ...limits }
      const batcher = new RowBatcher({ reader: journal.reader(), limits: all, capabilities, from })
      return batcher
        .next(flush)
        .map(({ points, refusal }) => (refusal === undefined ? points!.batch.length : refusal.reason))
    }
    const narrow = new MemoryJournal()
    for (let row = 0; row < 9; row++) narrow.frame([[row, row, 'a', row]], [row])
    assert.deepEqual(lengthsOf(narrow, {}), [9])
    assert.deepEqual(lengthsOf(narrow, { rowBytes: 15 }), [4])
    // it is full before the journal ends: no more is read
    assert.deepEqual(lengthsOf(narrow, {}, false), [])
    assert.deepEqual(lengthsOf(narrow, { rowBytes: 15 }, false), [4])
    const wide = new MemoryJournal().frame(
      Array.from({ length: 7 }, (_, index) => [0, 0, `s${index}`, index] as const),
      [0],
    )
    assert.deepEqual(lengthsOf(wide, { rowBytes: 30 }), [7])
    assert.deepEqual(lengthsOf(wide, { rowBytes: 31 }), [6, 1])
    assert.deepEqual(lengthsOf(wide, { rowBytes: 70 }), [3, 3, 1])
    const refused = 'up to 101 bytes when sent, and the backend takes 100 at once'
    assert.deepEqual(
      lengthsOf(wide, { rowBytes: 91 }),
      Array.from({ length: 7 }, () => refused),
    )
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
