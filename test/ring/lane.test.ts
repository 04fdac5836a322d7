import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requestFlush, waitForFlush } from '../../src/ring/doorbell.ts'
import { LaneReader } from '../../src/ring/lane-reader.ts'
import { LaneWriter } from '../../src/ring/lane-writer.ts'
import {
  BELL,
  CONTROL,
  CONTROL_BIT,
  CONTROL_F64,
  createControl,
  createLane,
  LANE,
  LANE_RECORD,
  maxRecordBytes,
} from '../../src/ring/layout.ts'
import { Random, SEED } from '../random.ts'

const SLOTS = 256

function lane(overflow: 'block' | 'drop' = 'drop', blockMaxMs = 0) {
  const control = createControl()
  const words = new Int32Array(control)
  words[CONTROL.epoch] = 1
  const buffer = createLane(control, SLOTS)
  const announced: SharedArrayBuffer[] = []
  let full = 0
  const writer = new LaneWriter(control, buffer, {
    overflow,
    blockMaxMs,
    announce: (announcedLane) => announced.push(announcedLane),
    onFull: () => full++,
  })
  const reader = new LaneReader(buffer, 1, 0)
  return {
    control,
    words,
    clock: new Float64Array(control),
    buffer,
    writer,
    reader,
    announced,
    fullCount: () => full,
  }
}

type Point = [series: number, step: number, value: number, time: number]

function takePoint(reader: LaneReader): Point {
  const slot = reader.read & reader.mask
  const point: Point = [
    reader.u32[slot * 8 + 1]!,
    reader.f64[slot * 4 + 1]!,
    reader.f64[slot * 4 + 2]!,
    reader.f64[slot * 4 + 3]!,
  ]
  reader.take(1)
  return point
}

test('a lane behaves as a bounded queue under random operations', () => {
  const random = new Random()
  const { writer, reader } = lane()
  let queue: Point[] = []
  let published = 0
  let taken = 0
  for (let operation = 0; operation < 50_000; operation++) {
    const what = random.below(10)
    if (what < 6) {
      const point: Point = [random.below(1000), random.below(2 ** 32), random.double(), random.double()]
      const fits = queue.length < SLOTS
      const accepted = writer.push(...point)
      // a full lane looks at the reader's progress only now and then, so it may refuse a little longer
      if (accepted) {
        assert.ok(fits, `seed ${SEED}`)
        queue.push(point)
      }
    } else if (what < 7) {
      writer.publish()
      published = queue.length
    } else if (what < 9) {
      // pushing into a full lane publishes too
      published = Math.max(published, reader.available() + taken)
      if (reader.available() > 0) {
        assert.deepEqual(takePoint(reader), queue[taken], `seed ${SEED}`)
        taken++
      }
    } else {
      reader.free()
      queue = queue.slice(taken)
      published -= taken
      taken = 0
    }
    assert.ok(reader.available() <= queue.length - taken, `seed ${SEED}`)
  }
})

test('positions survive the wrap of 32 bits', () => {
  const { writer, reader, buffer } = lane()
  // as if 2^31 − 10 points had passed
  const start = 2 ** 31 - 10
  const words = new Int32Array(buffer)
  words[LANE.head] = start
  words[LANE.tail] = start
  const control = createControl()
  new Int32Array(control)[CONTROL.epoch] = 1
  const late = new LaneReader(buffer, 1, start)
  assert.equal(late.position, start)
  assert.equal(late.available(), 0)
  void writer
  void reader
})

test('points are seen only when published, a burst every 32', () => {
  const { writer, reader, clock } = lane()
  clock[CONTROL_F64.clock] = 1000
  writer.log(0, 0, 1)
  assert.equal(reader.available(), 1, 'the first call finds that the clock has ticked')
  for (let i = 0; i < 31; i++) writer.log(0, i, 1)
  assert.equal(reader.available(), 1)
  writer.log(0, 31, 1)
  assert.equal(reader.available(), 33)
  writer.log(0, 32, 1)
  clock[CONTROL_F64.clock] = 1001
  writer.log(0, 33, 1)
  assert.equal(reader.available(), 35, 'a tick of the clock publishes')
})

test('the last points of a burst are published at the end of the tick', async () => {
  const { writer, reader, clock } = lane()
  clock[CONTROL_F64.clock] = 1000
  writer.log(0, 0, 1)
  writer.log(0, 1, 1)
  assert.equal(reader.available(), 1)
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(reader.available(), 2)
})

test('a slot is not reused before it is freed', () => {
  const { writer, reader } = lane()
  for (let i = 0; i < SLOTS; i++) assert.ok(writer.push(0, i, i, 0))
  assert.equal(writer.push(0, SLOTS, 0, 0), false)
  for (let i = 0; i < SLOTS; i++) takePoint(reader)
  let refusals = 1
  while (!writer.push(0, 1, 1, 1) && refusals < 200) refusals++
  assert.equal(refusals, 200, 'taken is not freed')
  reader.free()
  while (!writer.push(0, 1, 1, 1)) refusals++
  assert.ok(refusals <= 200 + 64, 'room is noticed within 64 refusals')
  assert.equal(writer.dropped, refusals)
})

test("overflow 'block' waits at most blockMaxMs once, then refuses at once until there is room", () => {
  const { writer, reader, fullCount } = lane('block', 60)
  for (let i = 0; i < SLOTS; i++) writer.push(0, i, i, 0)
  const start = performance.now()
  assert.equal(writer.push(0, 0, 0, 0), false)
  const waited = performance.now() - start
  assert.ok(waited >= 55 && waited < 1000, `waited ${waited} ms`)
  const again = performance.now()
  for (let i = 0; i < 1000; i++) writer.push(0, 0, 0, 0)
  assert.ok(performance.now() - again < 50, 'later calls do not wait')
  assert.equal(fullCount(), 1)
  assert.equal(writer.stalls, 1)
  reader.take(reader.available())
  reader.free()
  let tries = 0
  while (!writer.push(0, 0, 0, 0)) tries++
  assert.ok(tries <= 64)
})

test('a record arrives whole whatever its length and place', () => {
  const random = new Random()
  const { writer, reader } = lane()
  for (let round = 0; round < 2000; round++) {
    const bytes = new Uint8Array(random.below(maxRecordBytes(SLOTS) + 1)).map(() => random.below(256))
    assert.ok(writer.pushRecord(LANE_RECORD.record, round, random.double(), bytes), `seed ${SEED}`)
    assert.equal(reader.u32[(reader.read & reader.mask) * 8 + 1], (CONTROL_BIT | LANE_RECORD.record) >>> 0)
    const record = reader.record()
    assert.equal(record.a, round)
    assert.deepEqual(record.bytes, bytes, `seed ${SEED}`)
    reader.take(record.slots)
    assert.equal(reader.available(), 0)
    reader.free()
  }
})

test('a lane that its reader has forgotten is announced again', () => {
  const { writer, words, announced, reader } = lane()
  assert.equal(announced.length, 1)
  writer.pushRecord(LANE_RECORD.mark, 1, 0, new Uint8Array(0))
  assert.equal(announced.length, 1)
  words[CONTROL.epoch] = 2
  writer.pushRecord(LANE_RECORD.mark, 1, 0, new Uint8Array(0))
  assert.equal(announced.length, 2)
  reader.release()
})

test('the bell wakes a sleeping reader only when it sleeps for long or the lane is half full', () => {
  const { writer, words, clock } = lane()
  clock[CONTROL_F64.clock] = 0
  words[CONTROL.bell] = BELL.nap
  writer.log(0, 0, 0)
  assert.equal(words[CONTROL.bell], BELL.nap)
  words[CONTROL.bell] = BELL.sleep
  writer.log(0, 1, 0)
  assert.equal(words[CONTROL.bell], BELL.awake)
  words[CONTROL.bell] = BELL.nap
  clock[CONTROL_F64.clock] = 5
  for (let i = 0; i < SLOTS / 2 + 32; i++) writer.log(0, i, 0)
  assert.equal(words[CONTROL.bell], BELL.awake)
})

test('waiting for a flush ends with its ticket or with the time', () => {
  const { control } = lane()
  const words = new Int32Array(control)
  const ticket = requestFlush(words)
  assert.equal(waitForFlush(words, ticket, 30), false)
  Atomics.store(words, CONTROL.flushDone, ticket)
  assert.equal(waitForFlush(words, ticket, 30), true)
  assert.equal(waitForFlush(words, (ticket - 1) | 0, 30), true)
})
