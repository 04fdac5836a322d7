import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DESTINATION } from '../../../src/core/counters.ts'
import type { Cursor, ThinnedStretch } from '../../../src/core/types.ts'
import { bucketFor } from '../../../src/pipeline/delivery/thinning.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'
import { extremesOf } from './thinned.ts'

const FRAME_MS = 20
const SERIES = 5
const MAX_LAG_MS = 2_000
const OPEN_FRAMES = 20
const LONG_ROWS = 5
const LONG_ROWS_FROM = 1_000_000

/** A run that logs at its own pace, and a sink that takes its time for every point; one clock for both. */
class SlowBackend {
  readonly journal = new MemoryJournal()
  readonly stretches = new Map<number, ThinnedStretch>()
  /** Each point by its series and step, in the order of writes, doubled ones too. */
  readonly written: string[] = []
  /** How long the oldest point had been waiting, at each write. */
  readonly lags: number[] = []
  readonly told: string[] = []
  cursor: Cursor | undefined
  now = 1_000
  #row = 0
  #madeTo = 1_000
  readonly #shape: 'points' | 'rows'
  readonly #pointsPerSecond: number
  readonly #takenPerSecond: number
  readonly #until: number
  readonly #random: Random

  constructor(
    shape: 'points' | 'rows',
    pointsPerSecond: number,
    takenPerSecond: number,
    forMs: number,
    random: Random,
  ) {
    this.#shape = shape
    this.#pointsPerSecond = pointsPerSecond
    this.#takenPerSecond = takenPerSecond
    this.#until = this.now + forMs
    this.#random = random
  }

  /** Delivers until everything is settled, or to the kill. */
  async life(options: { everyN?: number; maxLagMs?: number }, killAfter = Infinity): Promise<boolean> {
    const { cursor } = this
    const stage = new Stage(this.journal, {
      live: true,
      limits: { maxItems: this.#shape === 'rows' ? 20 : 100 },
      capabilities: { shape: this.#shape },
      options,
      ...(cursor && { cursor }),
    })
    stage.now = this.now
    let writes = 0
    stage.sink.rule = (batch) => {
      if (!('length' in batch)) return undefined
      writes++
      stage.now += (1_000 * batch.length) / this.#takenPerSecond
      this.#produce(stage.now)
      stage.publish()
      const since = stage.block[DESTINATION.waitingSince]!
      if (since > 0) this.lags.push(stage.now - since)
      for (let at = 0; at < batch.length; at++)
        this.written.push(`${batch.describe(batch.series[at]!).name} ${batch.step[at]}`)
      return undefined
    }
    this.#produce(stage.now + FRAME_MS)
    stage.publish()
    stage.onRest = () => {
      if (!stage.delivery.isIdle || isOver()) return isOver()
      stage.now += FRAME_MS
      this.#produce(stage.now)
      stage.publish()
      return true
    }
    const isOver = () => stage.now >= this.#until && stage.block[DESTINATION.seq]! >= this.journal.seq
    await stage.play(() => writes >= killAfter || isOver())
    stage.onRest = undefined
    if (writes < killAfter) {
      await stage.finish(1e9)
      assert.equal(stage.closed?.complete, true)
    } else await stage.abandon()
    for (const saved of stage.saved)
      for (const stretch of saved.thinned ?? []) this.stretches.set(stretch.from, stretch)
    this.told.push(...stage.issues.map(({ message }) => message))
    this.cursor = stage.saved.at(-1) ?? cursor
    this.now = stage.now
    return writes < killAfter
  }

  /** Which points, as `written` has them, are for the backend. */
  expected(everyN = 1): string[] {
    const { entries, names } = this.journal
    const points = entries.flatMap((entry) =>
      entry.kind !== 'points'
        ? []
        : Array.from(entry.points.series, (series, at) => ({
            seq: entry.seq + at,
            step: entry.points.step[at]!,
            name: names[series]!.name,
          })),
    )
    const stepOf = new Map(points.map(({ seq, step }) => [seq, step]))
    const isRouted = (seq: number) => stepOf.get(seq)! % everyN === 0
    const keeps = extremesOf(this.journal, [...this.stretches.values()], isRouted)
    return points.filter(({ seq }) => isRouted(seq) && keeps(seq)).map(({ name, step }) => `${name} ${step}`)
  }

  get points(): number {
    return this.journal.seq - this.journal.records
  }

  /**
   * Rows of all series, in frames; each closes the rows of the one before. And some rows that stay open for
   * OPEN_FRAMES, with a point in each, of the same series.
   */
  #produce(until: number): void {
    const rowMs = (1_000 * SERIES) / this.#pointsPerSecond
    while (this.#madeTo < Math.min(until, this.#until)) {
      const first = this.#row
      const rows = Math.round(FRAME_MS / rowMs)
      const frame = first / rows
      const long = LONG_ROWS_FROM + LONG_ROWS * Math.floor(frame / OPEN_FRAMES)
      const longRows = Array.from({ length: LONG_ROWS }, (_, index) => long + index)
      const closed = Array.from({ length: frame === 0 ? 0 : rows }, (_, index) => first - rows + index)
      this.journal.frame(
        [
          ...Array.from({ length: rows * SERIES }, (_, index) => {
            const row = first + Math.floor(index / SERIES)
            return [row, row, `s${index % SERIES}`, this.#random.next()] as const
          }),
          ...longRows.map((row) => [row, row, `long${frame % OPEN_FRAMES}`, this.#random.next()] as const),
        ],
        frame > 0 && frame % OPEN_FRAMES === 0
          ? [...closed, ...longRows.map((row) => row - LONG_ROWS)]
          : closed,
      )
      if (this.#random.below(20) === 0) this.journal.record({ kind: 'tags', tags: { a: `${first}` } })
      this.#row += rows
      this.#madeTo += FRAME_MS
    }
  }
}

function assertLaw({ cursor, journal, points }: SlowBackend): void {
  const { delivered, filtered, rejected, corrupt, recordsDelivered } = cursor!.settled
  assert.equal(delivered + filtered + rejected + corrupt, points)
  assert.equal(recordsDelivered, journal.records)
  assert.equal(cursor!.seq, journal.seq)
}

describe(`thinning, seed ${SEED}`, () => {
  for (const shape of ['points', 'rows'] as const) {
    test(`T1 T2 ${shape}: a backend that is ten times too slow stays near maxLagMs, with the extremes`, async () => {
      const slow = new SlowBackend(shape, 10_000, 1_000, 30_000, new Random())
      await slow.life({ maxLagMs: MAX_LAG_MS })
      assertLaw(slow)
      assert.ok(slow.stretches.size > 3, `${slow.stretches.size} stretches`)
      assert.deepEqual([...slow.written].sort(), slow.expected().sort())
      const { delivered, filtered } = slow.cursor!.settled
      assert.equal(delivered, slow.written.length)
      assert.equal(filtered, slow.points - slow.written.length)
      // it was late before anything was left out, and hardly more after
      const most = Math.max(...slow.lags)
      assert.ok(most > MAX_LAG_MS && most < 2 * MAX_LAG_MS, `${most} ms behind`)
      // it worked all the time
      assert.ok(delivered > 0.8 * 30 * 1_000, `${delivered} delivered`)
      assert.equal(slow.told.filter((message) => message.includes('more than maxLagMs')).length, 1)
    })

    test(`T1 ${shape}: whatever is killed, the same points are chosen, and each is counted once`, async () => {
      const random = new Random()
      const slow = new SlowBackend(shape, 10_000, 1_000, 20_000, random)
      let lives = 1
      while (!(await slow.life({ maxLagMs: MAX_LAG_MS, everyN: 2 }, 1 + random.below(60)))) lives++
      assert.ok(lives > 3)
      assertLaw(slow)
      assert.ok(slow.stretches.size > 0)
      const expected = slow.expected(2)
      assert.deepEqual([...new Set(slow.written)].sort(), expected.sort())
      assert.equal(slow.cursor!.settled.delivered, expected.length)
    })
  }

  test('a backend that keeps up gets everything, whatever maxLagMs is', async () => {
    const slow = new SlowBackend('points', 2_000, 4_000, 10_000, new Random())
    await slow.life({ maxLagMs: 1_000 })
    assertLaw(slow)
    assert.equal(slow.written.length, slow.points)
    assert.deepEqual(slow.told, [])
  })

  test('without maxLagMs a backend that is too slow gets everything, late', async () => {
    const slow = new SlowBackend('points', 10_000, 1_000, 3_000, new Random())
    await slow.life({})
    assert.equal(slow.written.length, slow.points)
    assert.ok(Math.max(...slow.lags) > 10_000)
  })

  test('a stretch that cannot be saved is not begun: nothing is left out', async () => {
    const journal = new MemoryJournal().scalars('loss', 4_000, 100)
    const stage = new Stage(journal, { live: true, options: { maxLagMs: 1_000 } })
    stage.sink.rule = (batch) => {
      stage.diskError = new Error('ENOSPC')
      if ('length' in batch) stage.now += 1_000
      return undefined
    }
    await stage.play(() => stage.sink.points.length === 4_000)
    stage.diskError = undefined
    await stage.finish()
    assert.equal(stage.cursor.settled.delivered, 4_000)
    assert.equal(stage.cursor.thinned, undefined)
  })

  test('a bucket is as large as the pace asks for, and never so small that nothing is left out', () => {
    assert.equal(bucketFor(100_000, 10, 1_000), 2_000)
    assert.equal(bucketFor(100_000, 10, 1), 100_000)
    assert.equal(bucketFor(1_000, 10, 1e6), 40)
  })
})
