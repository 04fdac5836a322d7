import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunRecord, SinkCapabilities, SinkLimits } from '../../../src/core/types.ts'
import type { BatcherOptions, JournalPoints } from '../../../src/pipeline/delivery/batcher.ts'
import type { Filters, PointFilter } from '../../../src/pipeline/delivery/filter.ts'
import { PointBatcher } from '../../../src/pipeline/delivery/point-batcher.ts'
import { RowBatcher } from '../../../src/pipeline/delivery/row-batcher.ts'
import { Random, SEED } from '../../random.ts'
import { deliver, limitsOf, modelRows, randomJournal } from './batching.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'

const ROUNDS = 300

/** Takes points out by a rule, and is ready only now and then. */
class Sieve implements PointFilter {
  readonly #keeps: (seq: number) => boolean
  readonly #random: Random

  constructor(keeps: (seq: number) => boolean, random: Random) {
    this.#keeps = keeps
    this.#random = random
  }

  isReady(): boolean {
    return this.#random.below(3) > 0
  }

  mask({ seq, points }: JournalPoints, kept: Uint8Array): void {
    for (let at = 0; at < points.length; at++) if (!this.#keeps(seq + at)) kept[at] = 0
  }
}

/** A rule for points and records that keeps some, all or none, in stretches of some length. */
function randomRule(random: Random): (seq: number) => boolean {
  const salt = random.below(1000)
  const share = random.pick([0, 1, 3, 8, 10])
  const stretch = 1 + random.below(7)
  return (seq) => ((Math.floor(seq / stretch) + salt) * 7919) % 10 < share
}

const seqsOf = (journal: MemoryJournal, kind: 'points' | 'record' | 'corrupt'): number[] =>
  journal.entries.flatMap((entry) => {
    if (entry.kind !== kind) return []
    const counts = { points: 0, record: 1, corrupt: 0 }
    if (entry.kind === 'points') counts.points = entry.points.length
    if (entry.kind === 'corrupt') counts.corrupt = entry.points + entry.records
    return Array.from({ length: counts[kind] }, (_, index) => entry.seq + index)
  })

describe(`filters, seed ${SEED}`, () => {
  for (const shape of ['points', 'rows'] as const) {
    test(`F1 F2 ${shape}: what is kept arrives once, what is not is counted once, whatever is killed`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        const random = new Random(SEED + round)
        const journal = randomJournal(random)
        const keeps = randomRule(random)
        const keepsAlso = randomRule(random)
        const keepsRecord = randomRule(random)
        const both = (seq: number) => keeps(seq) && keepsAlso(seq)
        const filters = (): Filters => ({
          points: [new Sieve(keeps, random), new Sieve(keepsAlso, random)],
          records: [{ keeps: keepsRecord }],
        })
        const limits = limitsOf(random, 1 + random.below(3))
        const arrived = deliver(journal, shape, limits, random, filters)
        const what = `seed ${SEED}, round ${round}`
        const points = seqsOf(journal, 'points')
        const records = seqsOf(journal, 'record')
        assert.equal(arrived.filtered, points.filter((seq) => !both(seq)).length, what)
        assert.equal(arrived.recordsFiltered, records.filter((seq) => !keepsRecord(seq)).length, what)
        assert.equal(arrived.records, records.filter(keepsRecord).length, what)
        if (shape === 'rows') {
          assert.deepEqual(
            arrived.rows,
            modelRows(journal.entries, (id) => journal.names[id]!.name, both),
            what,
          )
        } else {
          assert.deepEqual(
            arrived.points.sort((a, b) => a - b),
            points.filter(both),
            what,
          )
        }
      }
    })
  }

  test('F3 without filters a frame is handed on as it is, also when a filter takes nothing out', () => {
    const journal = new MemoryJournal().scalars('loss', 10, 10)
    const seen: Uint8Array[] = []
    const all: PointFilter = { mask: (_, kept) => void seen.push(kept.slice()) }
    for (const points of [[], [all]]) {
      const items = batcherOf(journal, { points, records: [] }).next(true)
      assert.equal(items[0]!.points!.batch.length, 10)
      assert.equal(items[0]!.filtered, undefined)
    }
    assert.deepEqual(seen, [new Uint8Array(10).fill(1)])
  })

  test('a batch is filled across frames that are filtered, and covers what was taken out between', () => {
    const journal = new MemoryJournal().scalars('loss', 100, 10)
    const everyTenth: PointFilter = {
      mask: ({ points }, kept) => points.step.forEach((step, at) => void (kept[at] &&= +(step % 10 === 3))),
    }
    const batcher = batcherOf(journal, { points: [everyTenth], records: [] }, 4)
    const items = [batcher.next(true), batcher.next(true), batcher.next(true)].flat()
    assert.deepEqual(
      items.map(({ from, to, filtered, points }) => [from, to, filtered, [...points!.batch.step]]),
      [
        [0, 40, 36, [3, 13, 23, 33]],
        [40, 80, 36, [43, 53, 63, 73]],
        [80, 100, 18, [83, 93]],
      ],
    )
    assert.deepEqual([0, 1, 2, 3].map(items[1]!.points!.seqOf), [43, 53, 63, 73])
  })

  test('W5 what was filtered and not handed out yet is not passed by the cursor', () => {
    const journal = new MemoryJournal()
    for (let row = 0; row < 127; row++) journal.frame([[row, row, 'a', 1]])
    journal.frame([[200, 200, 'b', 1]])
    const notB: PointFilter = {
      mask: ({ points }, kept) => points.series.forEach((id, at) => void (kept[at] &&= +(id === 0))),
    }
    const batcher = new RowBatcher(optionsOf(journal, { points: [notB], records: [] }))
    assert.deepEqual(batcher.next(false), [])
    assert.equal(batcher.place([]).seq, 127)
    const [filtered] = batcher.next(false)
    assert.equal(filtered!.sums.filtered, 1)
    assert.equal(batcher.place([]).seq, 128)
  })

  test('a batch that is halved settles what was filtered within it once', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 1_000, 50), { options: { everyN: 4 } })
    stage.sink.rule = (batch) =>
      'length' in batch && batch.length > 30
        ? { status: 'split', code: 'ERR_REFUSED', reason: 'too many' }
        : undefined
    await stage.finish()
    const { delivered, filtered } = stage.cursor.settled
    assert.deepEqual([delivered, filtered, stage.cursor.seq], [250, 750, 1_000])
  })

  test('a filter is told of every record in its place, also of those before the cursor', () => {
    const note = (notes: string): RunRecord => ({ kind: 'notes', notes })
    const journal = new MemoryJournal().record(note('a')).scalars('loss', 2, 2).record(note('b'))
    const met: unknown[] = []
    const filter: PointFilter = {
      mask: ({ seq }) => void met.push(seq),
      met: (seq, record) => void met.push([seq, record]),
    }
    const batcher = batcherOf(journal, { points: [filter], records: [] }, 4, { seq: 2, back: 0 })
    while (!batcher.isAtEnd) batcher.next(true)
    assert.deepEqual(met, [[0, note('a')], 1, [3, note('b')]])
  })
})

function batcherOf(...given: Parameters<typeof optionsOf>): PointBatcher {
  return new PointBatcher(optionsOf(...given))
}

function optionsOf(
  journal: MemoryJournal,
  filters: Filters,
  maxItems = 100,
  from = { seq: 0, back: 0 },
): BatcherOptions {
  const limits: SinkLimits = { maxItems, maxBytes: 1e6, pointBytes: () => 1, inFlight: 1, lingerMs: 0 }
  const capabilities = { shape: 'points', records: [] } as unknown as SinkCapabilities
  return { reader: journal.reader(from.back), limits, capabilities, from, filters }
}
