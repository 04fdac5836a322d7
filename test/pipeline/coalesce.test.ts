import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PointStage } from '../../src/pipeline/coalesce.ts'
import { CONTROL_BIT } from '../../src/ring/layout.ts'
import { Random, SEED } from '../random.ts'

const SERIES = 100

/** Its producer's own numbers are the series' numbers plus 1000. */
function stage(): PointStage {
  let row = 0
  const points = new PointStage(() => row++)
  for (let series = 0; series < SERIES; series++) points.define(series + 1000, series)
  return points
}

/** One slot as a lane has it. */
function add(points: PointStage, series: number, step: number, value: number, time: number): void {
  const f64 = new Float64Array([0, step, value, time])
  const u32 = new Uint32Array(f64.buffer)
  u32[1] = series + 1000
  assert.equal(points.take({ u32, f64, mask: 0 }, 0, 1), 1)
}

/** The staged columns as objects. */
function staged(points: PointStage) {
  points.seal()
  const { fragments } = points
  let at = 0
  return Array.from({ length: fragments.length }, (_, index) => {
    const count = fragments.count[index]!
    const inside = Array.from({ length: count }, (_, i) => [points.series[at + i]!, points.value[at + i]!])
    at += count
    return {
      step: fragments.step[index]!,
      time: fragments.time[index]!,
      row: fragments.row[index]!,
      points: inside,
    }
  })
}

test('points of one step and time make one fragment', () => {
  const points = stage()
  add(points, 0, 5, 0.5, 1000)
  add(points, 1, 5, 0.9, 1000)
  add(points, 0, 6, 0.4, 1001)
  assert.deepEqual(staged(points), [
    {
      step: 5,
      time: 1000,
      row: 0,
      points: [
        [0, 0.5],
        [1, 0.9],
      ],
    },
    { step: 6, time: 1001, row: 1, points: [[0, 0.4]] },
  ])
})

test('a step continued later belongs to the same row', () => {
  const points = stage()
  add(points, 0, 5, 0.5, 1000)
  points.seal()
  points.clear()
  add(points, 1, 5, 0.9, 6000)
  assert.deepEqual(staged(points), [{ step: 5, time: 6000, row: 0, points: [[1, 0.9]] }])
})

test('a row closes when its producer has begun two newer ones', () => {
  const points = stage()
  for (const step of [1, 2, 3, 4]) add(points, 0, step, step, 0)
  assert.deepEqual([...points.closed.subarray(0, points.closedLength)], [0, 1])
})

test('results of the step before still join their row', () => {
  const points = stage()
  add(points, 0, 1, 0.1, 0)
  add(points, 0, 2, 0.2, 0)
  add(points, 1, 1, 0.9, 0)
  assert.deepEqual(
    staged(points).map(({ step, row }) => [step, row]),
    [
      [1, 0],
      [2, 1],
      [1, 0],
    ],
  )
})

test('a closed step that comes again begins a new row', () => {
  const points = stage()
  for (const step of [1, 2, 3]) add(points, 0, step, step, 0)
  add(points, 0, 1, 9, 0)
  assert.equal(staged(points).at(-1)!.row, 3)
})

test('a repeat in the same fragment replaces the value and is counted', () => {
  const points = stage()
  add(points, 0, 5, 0.5, 1000)
  add(points, 1, 5, 1, 1000)
  add(points, 0, 5, 0.7, 1000)
  assert.equal(points.coalesced, 1)
  assert.deepEqual(staged(points), [
    {
      step: 5,
      time: 1000,
      row: 0,
      points: [
        [0, 0.7],
        [1, 1],
      ],
    },
  ])
})

test('a repeat at another time is kept beside the first', () => {
  const points = stage()
  add(points, 0, 5, 0.5, 1000)
  add(points, 0, 5, 0.7, 1001)
  assert.equal(points.coalesced, 0)
  assert.deepEqual(
    staged(points).map(({ time, row, points }) => [time, row, points]),
    [
      [1000, 0, [[0, 0.5]]],
      [1001, 0, [[0, 0.7]]],
    ],
  )
})

test('NaN and negative zero as values and steps keep their bits', () => {
  const points = stage()
  add(points, 0, -0, Number.NaN, 0)
  add(points, 1, -0, -0, 0)
  const [fragment] = staged(points)
  assert.ok(Object.is(fragment!.points[0]![1], Number.NaN))
  assert.ok(Object.is(fragment!.points[1]![1], -0))
})

test('rows close by age and on demand', () => {
  const points = stage()
  points.passAt = 100
  add(points, 0, 1, 1, 0)
  points.closeRows(100)
  assert.equal(points.closedLength, 0)
  points.closeRows(101)
  assert.equal(points.closedLength, 1)
  assert.equal(points.hasOpenRows, false)
})

test('random points come out as a model of rows says', () => {
  const random = new Random()
  const points = stage()
  const open: { step: number; row: number }[] = []
  let rows = 0
  let lastStep = Number.NaN
  let lastTime = Number.NaN
  const model: { step: number; time: number; row: number; points: number[][] }[] = []
  let coalesced = 0
  for (let i = 0; i < 20_000; i++) {
    const series = random.below(SERIES)
    const step = random.below(6)
    const time = random.below(3)
    const value = random.double()
    add(points, series, step, value, time)
    if (step !== lastStep || time !== lastTime) {
      let found = open.find((row) => row.step === step)
      if (!found) {
        if (open.length === 2) open.shift()
        found = { step, row: rows++ }
        open.push(found)
      }
      model.push({ step, time, row: found.row, points: [] })
      lastStep = step
      lastTime = time
    }
    const fragment = model.at(-1)!
    const before = fragment.points.find(([known]) => known === series)
    if (before) {
      before[1] = value
      coalesced++
    } else fragment.points.push([series, value])
  }
  assert.deepEqual(staged(points), model, `seed ${SEED}`)
  assert.equal(points.coalesced, coalesced)
})

test('points are taken up to a record, or to a series that another run has', () => {
  const points = stage()
  points.define(5, 3)
  const f64 = new Float64Array(8 * 4)
  const u32 = new Uint32Array(f64.buffer)
  const slots = { u32, f64, mask: 7 }
  for (const [slot, local] of [5, 1001, CONTROL_BIT, 5, 500, 5, 99_999, 5].entries()) {
    u32[slot * 8 + 1] = local
    f64.set([slot, slot / 2, 0], slot * 4 + 1)
  }
  assert.equal(points.take(slots, 0, 8), 2, 'a record')
  assert.equal(points.take(slots, 2, 6), 0)
  assert.equal(points.take(slots, 3, 5), 1, 'never defined, among defined ones')
  assert.equal(points.take(slots, 5, 3), 1, 'never defined, beyond all')
  assert.equal(points.take(slots, 7, 2), 2, 'over the end of the lane')
  assert.deepEqual(
    staged(points).map(({ step, points }) => [step, points]),
    [
      [0, [[3, 0]]],
      [1, [[1, 0.5]]],
      [3, [[3, 1.5]]],
      [5, [[3, 2.5]]],
      [7, [[3, 3.5]]],
      [0, [[3, 0]]],
    ],
  )
})

test('many points at once come out like one by one', () => {
  const random = new Random()
  const slotCount = 2 ** 15
  const f64 = new Float64Array(slotCount * 4)
  const u32 = new Uint32Array(f64.buffer)
  const slots = { u32, f64, mask: slotCount - 1 }
  for (let slot = 0; slot < slotCount; slot++) {
    u32[slot * 8 + 1] = 1000 + random.below(SERIES)
    f64.set([Math.floor(slot / 7) % 40, random.double(), Math.floor(slot / 90)], slot * 4 + 1)
  }
  const single = stage()
  for (let slot = 0; slot < slotCount; slot++) assert.equal(single.take(slots, slot, 1), 1)
  const many = stage()
  for (let taken = 0; taken < slotCount; ) {
    taken += many.take(slots, taken, Math.min(random.below(20_000), slotCount - taken))
  }
  assert.deepEqual(staged(many), staged(single), `seed ${SEED}`)
  assert.equal(many.coalesced, single.coalesced)
  assert.equal(many.closedLength, single.closedLength)
})
