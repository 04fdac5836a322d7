/** What each stage of the drain thread costs a point, alone and in one thread. */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { createCounters } from '../src/core/counters.ts'
import { PointStage } from '../src/pipeline/coalesce.ts'
import { Drain } from '../src/pipeline/drain.ts'
import { JournalWriter } from '../src/pipeline/journal/writer.ts'
import { Descriptors } from '../src/pipeline/store/descriptors.ts'
import { Syncer } from '../src/pipeline/store/syncer.ts'
import { LaneWriter } from '../src/ring/lane-writer.ts'
import { CONTROL, createControl, createLane, SLOT_F64, SLOT_U32 } from '../src/ring/layout.ts'
import type { Metric } from '../src/run/metric.ts'
import { RunProducer } from '../src/run/producer.ts'
import type { Bench } from './harness.ts'
import { type Case, interleave } from './statistics.ts'

const POINTS = 16_380
const TABLE = 'stages of the drain, one thread'

export async function drainStages(bench: Bench): Promise<void> {
  const root = bench.temporaryFolder()
  const stop: (() => void)[] = []
  const cases: Case[] = []
  for (const series of [10, 1]) {
    const suffix = `${series} series a step`
    const folder = join(root, String(series))
    mkdirSync(folder)
    cases.push(wholeDrain(`taken, coalesced and journaled: ${suffix}`, folder, series, stop))
    cases.push(coalescing(`coalesced: ${suffix}`, series))
    cases.push(journaling(`laid out, checksummed and appended: ${suffix}`, `${folder}j`, series, stop))
  }
  cases.push(...rawAppend(join(root, 'raw'), stop))
  const samples = await interleave(cases, bench.either(20, 400))
  for (const close of stop) close()
  // the first tenth is the compiler's
  for (const [name, of] of samples) bench.samples(TABLE, name, 'ns a point', of.slice(of.length / 10))
}

function perPoint(begin: number): number {
  return ((performance.now() - begin) * 1e6) / POINTS
}

function wholeDrain(name: string, folder: string, series: number, stop: (() => void)[]): Case {
  const control = createControl()
  new Int32Array(control)[CONTROL.epoch] = 1
  const syncer = new Syncer<never>()
  stop.push(() => syncer.stop())
  const hooks = {
    receive() {},
    onDefinitions() {},
    onAppend() {},
    onFinish() {},
    onOrphans() {},
    onIssue(_run: unknown, issue: { message: string }) {
      throw new Error(issue.message)
    },
  }
  const drain = new Drain(
    control,
    1,
    [],
    { syncer, descriptors: new Descriptors(syncer), isFenced: () => false },
    hooks,
  )
  const counters = createCounters(1)
  drain.addRun(
    {
      number: 1,
      incarnation: 'bench',
      run: { id: 'bench', name: 'bench', project: 'p', experiment: 'e', createdAt: 0, nonce: 'n', folder },
      counters,
      destinations: [],
      durability: 'process',
      rowMaxAgeMs: 10_000,
    },
    false,
  )
  const lane = createLane(control, 65_536)
  const writer = new LaneWriter(control, lane, {
    overflow: 'drop',
    blockMaxMs: 0,
    announce: (buffer) => drain.addLane(buffer),
  })
  let nextSeries = 0
  const producer = new RunProducer(
    writer,
    1,
    counters,
    () => nextSeries++,
    () => {},
  )
  const metrics = Array.from({ length: series }, (_, i) => producer.metric(`m${i}`))
  let step = 0
  let now = 1
  return {
    name,
    run() {
      step = fill(metrics, step)
      writer.publish()
      const begin = performance.now()
      drain.pass(++now)
      drain.pass(++now)
      drain.append(now)
      return perPoint(begin)
    },
  }
}

function fill(metrics: readonly Metric[], from: number): number {
  let step = from
  for (let left = POINTS; left > 0; left -= metrics.length, step++) {
    for (const metric of metrics) metric.log(step, step * 0.5)
  }
  return step
}

/** A stage, and slots of points that it can be filled from again and again: each time the clock has gone on. */
function stageOf(series: number): { stage: PointStage; fill: () => void } {
  let row = 0
  const stage = new PointStage(() => row++)
  for (let i = 0; i < series; i++) stage.define(i, i)
  const f64 = new Float64Array(2 ** 14 * SLOT_F64)
  const u32 = new Uint32Array(f64.buffer)
  const slots = { u32, f64, mask: 2 ** 14 - 1 }
  for (let i = 0; i < POINTS; i++) {
    u32[i * SLOT_U32 + 1] = i % series
    f64.set([Math.floor(i / series), i * 0.5, 1000], i * SLOT_F64 + 1)
  }
  return {
    stage,
    fill() {
      for (let taken = 0; taken < POINTS; ) taken += stage.take(slots, taken, POINTS - taken)
      stage.seal()
    },
  }
}

function coalescing(name: string, series: number): Case {
  const { stage, fill } = stageOf(series)
  return {
    name,
    run() {
      const begin = performance.now()
      fill()
      stage.clear()
      return perPoint(begin)
    },
  }
}

function journaling(name: string, folder: string, series: number, stop: (() => void)[]): Case {
  mkdirSync(folder)
  const syncer = new Syncer<never>()
  const writer = JournalWriter.open({ folder, runId: 'bench', nonce: 'n', session: 'process', syncer })
  for (let i = 0; i < series; i++) writer.series(`m${i}`, '')
  const { stage, fill } = stageOf(series)
  fill()
  stop.push(() => {
    writer.close()
    syncer.stop()
  })
  return {
    name,
    run() {
      const begin = performance.now()
      writer.stagePoints(stage, 0, 0)
      writer.commit()
      return perPoint(begin)
    },
  }
}

/** The least that appending 16 bytes a point can cost. */
function rawAppend(path: string, stop: (() => void)[]): Case[] {
  const fd = openSync(path, 'a')
  stop.push(() => closeSync(fd))
  const bytes = new Uint8Array(POINTS * 16)
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 31
  return [
    {
      name: 'control: CRC of 16 bytes a point',
      run() {
        const begin = performance.now()
        crc32(bytes)
        return perPoint(begin)
      },
    },
    {
      name: 'control: write of 16 bytes a point',
      run() {
        const begin = performance.now()
        writeSync(fd, bytes)
        return perPoint(begin)
      },
    },
  ]
}
