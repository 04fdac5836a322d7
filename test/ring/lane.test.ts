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
/** Published at the latest after so many points. */
const PUBLISH_EVERY = 32

/** @param start position of the first point, as if so many had passed already */
function lane(overflow: 'block' | 'drop' = 'drop', blockMaxMs = 0, start = 0) {
  const control = createControl()
  const words = new Int32Array(control)
  words[CONTROL.epoch] = 1
  const buffer = createLane(control, SLOTS)
  const laneWords = new Int32Array(buffer)
  laneWords[LANE.head] = start
  laneWords[LANE.tail] = start
  const announced: SharedArrayBuffer[] = []
  let full = 0
  const writer = new LaneWriter(control, buffer, {
    overflow,
    blockMaxMs,
    announce: (announcedLane) => announced.push(announcedLane),
    onFull: () => full++,
  })
  const reader = new LaneReader(buffer, 1, start)
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

for (const start of [0, 2 ** 31 - 5000, 2 ** 32 - 5000]) {
  test(`a lane behaves as a bounded queue under random operations, begun at position ${start}`, () => {
    const random = new Random()
    const { writer, reader } = lane('drop', 0, start)
    /** What the lane holds, oldest first; the first `taken` are read, not freed. */
    let held: Point[] = []
    let published = 0
    let taken = 0
    let freed = 0
    let dropped = 0
    for (let operation = 0; operation < 50_000; operation++) {
      const what = random.below(200)
      if (what < 120) {
        const point: Point = [random.below(1000), random.below(2 ** 32), random.double(), random.double()]
        const before = held.length
        const hasRoom = before < SLOTS
        if (writer.push(...point)) {
          assert.ok(hasRoom, `seed ${SEED}`)
          held.push(point)
        } else {
          dropped++
          assert.ok(!hasRoom, `room is noticed at once, seed ${SEED}`)
        }
        // whoever finds the lane full publishes first, so that the reader can make room
        if (reader.available() !== published - taken) published = before
      } else if (what < 140) {
        writer.publish()
        published = held.length
      } else if (what < 199) {
        for (let left = random.below(reader.available() + 1); left > 0; left--) {
          assert.deepEqual(takePoint(reader), held[taken], `seed ${SEED}`)
          taken++
        }
      } else {
        reader.free()
        held = held.slice(taken)
        published -= taken
        freed += taken
        taken = 0
      }
      assert.equal(reader.available(), published - taken, `seed ${SEED}`)
      assert.equal(reader.unfreed, taken, `seed ${SEED}`)
      assert.equal(reader.position, start + freed + taken, `seed ${SEED}`)
    }
    assert.equal(writer.dropped, dropped)
    assert.ok(dropped > 0, `the lane was full at times, seed ${SEED}`)
    assert.ok(freed > 10_000, `both sides of the wrap were met, seed ${SEED}`)
  })

  test(`a record arrives whole whatever its length and place, begun at position ${start}`, () => {
    const random = new Random()
    const { writer, reader } = lane('drop', 0, start)
    for (let round = 0; round < 1000; round++) {
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
}

test('the sequence word of a slot is its position plus one, as 32 bits', () => {
  const start = 2 ** 32 - 3
  const { writer, reader } = lane('drop', 0, start)
  for (let i = 0; i < 6; i++) writer.log(0, i, i)
  const sequences = [0, 1, 2, 3, 4, 5].map((i) => reader.u32[((start + i) & reader.mask) * 8])
  assert.deepEqual(sequences, [2 ** 32 - 2, 2 ** 32 - 1, 0, 1, 2, 3])
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

for (const start of [0, 2 ** 31 - SLOTS / 2, 2 ** 32 - SLOTS / 2]) {
  test(`a slot is not reused before it is freed, in a lane from position ${start}`, () => {
    const { writer, reader } = lane('drop', 0, start)
    for (let i = 0; i < SLOTS; i++) assert.ok(writer.push(0, i, i, 0))
    for (let i = 0; i < 99; i++) assert.equal(writer.push(0, SLOTS, 0, 0), false)
    assert.equal(writer.pushRecord(LANE_RECORD.mark, 1, 0, new Uint8Array(0)), false)
    for (let i = 0; i < SLOTS; i++) assert.equal(takePoint(reader)[1], i)
    for (let i = 0; i < 100; i++) assert.equal(writer.push(0, SLOTS, 0, 0), false, 'taken is not freed')
    reader.free()
    assert.ok(writer.push(0, 1, 1, 1), 'room is noticed at once')
    assert.equal(writer.dropped, 199)
  })
}

test("overflow 'block' waits at most blockMaxMs once, then refuses at once until there is room", () => {
  const { writer, reader, fullCount } = lane('block', 60)
  for (let i = 0; i < SLOTS; i++) writer.push(0, i, i, 0)
  const start = performance.now()
  assert.equal(writer.push(0, 0, 0, 0), false)
  const waited = performance.now() - start
  assert.ok(waited >= 55 && waited < 1000, `waited ${waited} ms`)
  const again = performance.now()
  for (let i = 0; i < 1000; i++) writer.push(0, 0, 0, 0)
  assert.ok(performance.now() - again < 5_000, 'later calls do not wait')
  assert.equal(fullCount(), 1)
  assert.equal(writer.stalls, 1)
  reader.take(reader.available())
  reader.free()
  let tries = 0
  while (!writer.push(0, 0, 0, 0)) tries++
  assert.ok(tries <= 64)
})

test('a lane that its reader has forgotten is announced until a reader takes it', () => {
  const { writer, words, announced, buffer } = lane()
  const mark = () => writer.pushRecord(LANE_RECORD.mark, 1, 0, new Uint8Array(0))
  mark()
  assert.deepEqual(announced, [buffer], 'once when made')
  words[CONTROL.epoch] = 2
  mark()
  const untilTaken = announced.length
  assert.ok(untilTaken > 1, 'again for another drain thread')
  const successor = new LaneReader(buffer, 2, 0)
  mark()
  assert.equal(announced.length, untilTaken)
  successor.release()
  mark()
  assert.ok(announced.length > untilTaken, 'again when forgotten')
})

test('a napping reader is not woken for a point, one that sleeps for long is', () => {
  const { writer, words, clock } = lane()
  clock[CONTROL_F64.clock] = 0
  words[CONTROL.bell] = BELL.nap
  writer.push(0, 0, 0, 0)
  writer.publish()
  assert.equal(words[CONTROL.bell], BELL.nap)
  words[CONTROL.bell] = BELL.sleep
  writer.push(0, 1, 0, 0)
  assert.equal(words[CONTROL.bell], BELL.sleep, 'what is not published rings no bell')
  writer.publish()
  assert.equal(words[CONTROL.bell], BELL.awake)
})

test('the publication that fills half of the lane wakes a napping reader', () => {
  const { writer, words, clock, reader } = lane()
  clock[CONTROL_F64.clock] = 5
  words[CONTROL.bell] = BELL.nap
  for (let i = 0; words[CONTROL.bell] === BELL.nap && i < SLOTS; i++) writer.log(0, i, 0)
  const published = reader.available()
  assert.ok(published >= SLOTS / 2 && published < SLOTS / 2 + PUBLISH_EVERY, `rung at ${published}`)
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
