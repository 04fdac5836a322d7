/** Generator and verifier over real threads: order, values and counts, with blocking and with dropping producers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { LaneReader } from '../../src/ring/lane-reader.ts'
import { LaneWriter } from '../../src/ring/lane-writer.ts'
import { createControl, createLane } from '../../src/ring/layout.ts'

const POINTS = 300_000
const SLOTS = 1024

/** Point i of a producer. Anything torn or mixed up breaks the relation between its parts. */
const expected = (producer: number, i: number) => ({
  step: i,
  value: (i * 7919 + producer) / 3,
  time: i + producer / 8,
})

interface Generator {
  control: SharedArrayBuffer
  lane: SharedArrayBuffer
  producer: number
  overflow: 'block' | 'drop'
}

if (!isMainThread) {
  const { control, lane, producer, overflow } = workerData as Generator
  const writer = new LaneWriter(control, lane, { overflow, blockMaxMs: 60_000, announce: () => undefined })
  for (let i = 0; i < POINTS; i++) {
    const { step, value, time } = expected(producer, i)
    writer.push(producer, step, value, time)
    if (i % 29 === 0) writer.publish()
  }
  writer.close()
  parentPort!.postMessage(writer.dropped)
} else {
  for (const overflow of ['block', 'drop'] as const) {
    test(`three producers that ${overflow}: every point once, in order, bit for bit`, async () => {
      const control = createControl()
      const lanes = [0, 1, 2].map(() => createLane(control, SLOTS))
      const workers = lanes.map(
        (lane, producer) =>
          new Worker(new URL(import.meta.url), {
            workerData: { control, lane, producer, overflow } satisfies Generator,
          }),
      )
      const dropped = Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0] as number))
      const readers = lanes.map((lane) => new LaneReader(lane, 1, 0))
      const seen = [0, 0, 0]
      const last = [-1, -1, -1]
      while (!readers.every((reader) => reader.isDone)) {
        readers.forEach((reader, producer) => {
          for (let left = reader.available(); left > 0; left--) {
            const slot = reader.read & reader.mask
            const step = reader.f64[slot * 4 + 1]!
            const point = expected(producer, step)
            assert.equal(reader.u32[slot * 8 + 1], producer)
            assert.equal(reader.f64[slot * 4 + 2], point.value)
            assert.equal(reader.f64[slot * 4 + 3], point.time)
            assert.ok(step > last[producer]!)
            last[producer] = step
            seen[producer]!++
            reader.take(1)
          }
          reader.free()
        })
        await new Promise(setImmediate)
      }
      const drops = await dropped
      for (const producer of [0, 1, 2]) assert.equal(seen[producer]! + drops[producer]!, POINTS)
      if (overflow === 'block') assert.deepEqual(drops, [0, 0, 0])
      await Promise.all(workers.map((worker) => worker.terminate()))
    })
  }
}
