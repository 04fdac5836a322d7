/** The lane by itself. */
import { Bench as TinyBench } from 'tinybench'
import { LaneReader } from '../src/ring/lane-reader.ts'
import { LaneWriter } from '../src/ring/lane-writer.ts'
import { CONTROL_F64, createControl, createLane } from '../src/ring/layout.ts'
import type { Bench } from './harness.ts'
import { BURST } from './ring-push-subject.ts'

/** The lane without a reader thread: what the stores themselves cost. Emptied by its own thread between samples. */
export async function laneAlone(bench: Bench): Promise<void> {
  const control = createControl()
  const clock = new Float64Array(control)
  clock[CONTROL_F64.clock] = 1
  const buffer = createLane(control, 65_536)
  const writer = new LaneWriter(control, buffer, { overflow: 'drop', blockMaxMs: 0, announce: () => {} })
  const reader = new LaneReader(buffer, 0, 0)
  const plain = new Float64Array(65_536 * 4)
  const empty = () => {
    writer.publish()
    reader.take(reader.available())
    reader.free()
  }
  const samples = new Map<string, number[]>()
  for (let round = 0; round < bench.either(2, 15); round++) {
    const tiny = new TinyBench({ time: bench.either(5, 40), warmupTime: 5, retainSamples: true })
    tiny.add('four plain stores', () => {
      for (let i = 0, at = 0; i < BURST; i++, at += 4) {
        plain[at] = 1
        plain[at + 1] = i
        plain[at + 2] = i
        plain[at + 3] = 1
      }
    })
    const emptied = { beforeEach: empty }
    tiny.add(
      'LaneWriter.push',
      () => {
        for (let i = 0; i < BURST; i++) writer.push(1, i, i, 1)
      },
      emptied,
    )
    tiny.add(
      'LaneWriter.log',
      () => {
        for (let i = 0; i < BURST; i++) writer.log(1, i, i)
      },
      emptied,
    )
    await tiny.run()
    for (const { name, result } of tiny.tasks) {
      if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`)
      samples.set(name, [...(samples.get(name) ?? []), (result.latency.p50 * 1e6) / BURST])
    }
  }
  for (const [name, of] of samples) bench.samples('the lane alone, no reader thread', name, 'ns', of)
}
