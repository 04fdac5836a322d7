import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PointStage } from '../../src/pipeline/coalesce.ts'
import { LaneSeries } from '../../src/pipeline/lane-series.ts'
import { SeriesMemory } from '../../src/pipeline/series-memory.ts'
import { Random, SEED } from '../random.ts'

test('a random life of owners and series: each series is whose it was last defined to be', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  const table = new LaneSeries()
  const truth = new Map<number, { owner: number; id: number }>()
  const owners: number[] = []
  let next = 0
  for (let step = 0; step < 3000; step++) {
    const chance = random.next()
    if (owners.length === 0 || chance < 0.05) owners.push(table.takeOwner())
    else if (chance < 0.1) {
      const [owner] = owners.splice(random.below(owners.length), 1)
      table.giveOwner(owner!)
      for (const [series, known] of truth) if (known.owner === owner) truth.delete(series)
    } else {
      const series = chance < 0.9 ? next++ : random.below(next + 1)
      const known = { owner: random.pick(owners), id: random.below(100) }
      table.define(series, known.owner, known.id)
      truth.set(series, known)
    }
  }
  for (let series = 0; series <= next; series++) {
    const known = truth.get(series)
    assert.equal(table.ownerOf(series), known?.owner ?? 0, `series ${series}`)
    if (known) assert.equal(table.words[2 * (series - table.base) + 1], known.id)
  }
})

test('the table follows the series that are in use, not all that ever were', () => {
  const table = new LaneSeries()
  for (let run = 0; run < 10_000; run++) {
    const owner = table.takeOwner()
    for (let i = 0; i < 10; i++) table.define(run * 10 + i, owner, i)
    assert.equal(table.ownerOf(run * 10), owner)
    table.giveOwner(owner)
  }
  assert.ok(table.words.length <= 256, `${table.words.length} words`)
})

test('a stage has room for what it was given, and gives a burst’s back when it is still', () => {
  const lane = { u32: new Uint32Array(8 * 8192), f64: new Float64Array(4 * 8192), mask: 8191 }
  const stage = new PointStage(() => 0)
  stage.define(0, 0)
  for (let i = 0; i < 8192; i++) {
    lane.f64[4 * i + 1] = i
    // the first ten are its own, the others another run's
    lane.u32[8 * i + 1] = i < 10 ? 0 : 7
  }
  assert.equal(stage.take(lane, 0, 8192), 10)
  assert.ok(stage.series.length <= 64)
  lane.u32.fill(0)
  for (let taken = 10; taken < 8192; ) taken += stage.take(lane, taken, 8192 - taken)
  assert.equal(stage.length, 8192)
  stage.seal()
  stage.clear()
  stage.rest()
  assert.equal(stage.series.length, 8192)
  stage.rest()
  assert.deepEqual([stage.series.length, stage.fragments.step.length], [64, 64])
  assert.equal(stage.take(lane, 0, 1), 1)
})

test('what a lane says of a run is remembered until nobody can log to it', () => {
  const memory = new SeriesMemory()
  for (const lane of [1, 2]) memory.remember({ lane, local: 5, run: 3, name: `of ${lane}`, context: '' })
  assert.equal(memory.find(2, 5)?.name, 'of 2')
  assert.equal(memory.forgetRun(1, 3), true)
  assert.equal(memory.find(1, 5), undefined)
  assert.equal(memory.forgetRun(2, 3), false)
})
