/** What does a call cost the loop that makes it? */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bench as TinyBench } from 'tinybench'
import { type Metric, type Run, startLogging } from '../src/index.ts'
import { LaneReader } from '../src/ring/lane-reader.ts'
import { LaneWriter } from '../src/ring/lane-writer.ts'
import { CONTROL_F64, createControl, createLane } from '../src/ring/layout.ts'
import type { Bench, Question } from './harness.ts'
import { checkJournal, type LoggedSeries } from './journal-check.ts'
import { paced } from './pace.ts'
import { startPeers } from './ring-push-peers.ts'
import { type Case, interleave, median, quantile } from './statistics.ts'

const BURST = 1000
const ROWS = BURST / 10
/** The drain thread is kept busy, but the lane (65,536 slots) never full: a wait for room is not the cost of a call. */
const MOST_IN_RING = 24_576

export const ringPush: Question = {
  name: 'ring-push',
  title: 'What a call costs the loop that makes it',
  method: [
    `Bursts of ${BURST} calls into a live run (drain thread taking, coalescing and journaling meanwhile), interleaved with bursts of the same loop without the call; a cost is the difference of the medians.`,
    'Between rounds the main thread spins, so that a busy training loop is what surrounds the calls, and the ring holds a backlog, so that the drain thread is always at work.',
    'Paced calls are timed one by one with `performance.now()`, whose own cost is in every figure: compare with the control loop, which makes no call.',
    'Each peer has a reader thread that drops what it is given; thread-stream and postMessage take part with fewer samples.',
    'Every point logged is read back from the journal afterwards and compared.',
  ],
  bounds: [
    'A handle call is four stores, the load of the clock cell and three compares; one `Atomics.store` (7–9 ns: a call from JavaScript, never inlined) is shared by 32 points.',
    'With the drain thread reading behind, every slot line crosses between two cores: the difference between the lane alone and the live run.',
    'A row of ten keys adds building the object (in the control loop too), a walk over its keys compared with those of the last row by identity, and one publication.',
    'The tail of paced calls is that of the machine: the control loop has nearly the same.',
  ],
  async run(bench) {
    await laneAlone(bench)
    const folder = mkdtempSync(join(tmpdir(), 'tracelet-bench-'))
    const run = startLogging({ backend: 'local', dir: folder, project: 'bench', expName: 'ring-push' })
    const subject = new Subject(run)
    const peers = await startPeers()
    try {
      const bursts = await interleave(
        [...subject.cases(), ...peers.slice(0, 2).map((peer) => burstOf(peer.name, peer.burst))],
        bench.either(40, 1000),
        (round) => subject.settle(round),
      )
      report(bench, bursts)
      const beside = await interleave(
        [subject.handleCase(), ...peers.map((peer) => burstOf(peer.name, peer.burst))],
        bench.either(5, 100),
        () => subject.settle(0),
      )
      for (const [name, samples] of beside) bench.samples('beside others: ns a call', name, 'ns', samples)
      await pacedCalls(bench, subject, peers)
    } finally {
      for (const peer of peers) await peer.close()
    }
    await run.flush()
    const stats = await run.finish()
    checkJournal(bench, 'every call', run.info.folder, subject.logged(), stats)
    rmSync(folder, { recursive: true })
  },
}

/** A live run and what is called on it; knows what it logged. */
class Subject {
  readonly #run: Run
  readonly #handle: Metric
  readonly #ten: Metric[]
  readonly #counts = { handle: 0, ten: 0, row: 0 }
  /** What control loops compute, so that nobody finds them idle. */
  #sink = 0

  constructor(run: Run) {
    this.#run = run
    this.#handle = run.metric('handle')
    this.#ten = Array.from({ length: 10 }, (_, i) => run.metric(`ten/${i}`))
  }

  handleCase(): Case {
    return burstOf('bound handle', (_from, calls) => this.handle(calls))
  }

  cases(): Case[] {
    return [
      this.handleCase(),
      burstOf('ten bound handles in turn', (_from, calls) => this.tenHandles(calls / 10)),
      burstOf('loop without a call', (from, calls) => this.nothing(from, calls)),
      burstOf('log() of 10 keys', (_from, calls) => this.rows(calls), ROWS),
      burstOf('object of 10 keys without log()', (from, calls) => this.objects(from, calls), ROWS),
    ]
  }

  handle(calls: number): void {
    const handle = this.#handle
    const first = this.#counts.handle
    for (let i = 0; i < calls; i++) handle.log(first + i, (first + i) * 0.5)
    this.#counts.handle = first + calls
  }

  call(): void {
    const step = this.#counts.handle++
    this.#handle.log(step, step * 0.5)
  }

  tenHandles(steps: number): void {
    const ten = this.#ten
    const first = this.#counts.ten
    for (let i = first; i < first + steps; i++) {
      for (let j = 0; j < 10; j++) ten[j]!.log(i, i * 0.5)
    }
    this.#counts.ten = first + steps
  }

  nothing(from: number, calls: number): void {
    let sum = 0
    for (let i = 0; i < calls; i++) sum += (from + i) * 0.5
    this.#sink += sum
  }

  rows(rows: number): void {
    const run = this.#run
    const first = this.#counts.row
    for (let i = first; i < first + rows; i++) {
      const x = i * 0.5
      run.log({ a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, j: x }, { step: i })
    }
    this.#counts.row = first + rows
  }

  objects(from: number, rows: number): void {
    for (let i = from; i < from + rows; i++) {
      const x = i * 0.5
      const row = { a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, j: x }
      this.#sink += row.j
    }
  }

  /** Waits, busy, until the ring has room; now and then the event loop turns. */
  settle(round: number): undefined | Promise<void> {
    const giveUpAt = performance.now() + 1000
    while (this.#run.stats().inRing > MOST_IN_RING && performance.now() < giveUpAt);
    return round % 20 === 0 ? new Promise(setImmediate) : undefined
  }

  logged(): Map<string, LoggedSeries> {
    const half = (step: number) => step * 0.5
    const of = (count: number) => ({ count, firstStep: 0, valueAt: half })
    return new Map([
      ['handle', of(this.#counts.handle)],
      ...this.#ten.map(({ name }) => [name, of(this.#counts.ten)] as const),
      ...[...'abcdefghij'].map((name) => [name, of(this.#counts.row)] as const),
    ])
  }
}

/** A sample is ns a call over one burst. */
function burstOf(name: string, burst: (from: number, calls: number) => void, calls = BURST): Case {
  let from = 0
  return {
    name,
    run: () => {
      const begin = performance.now()
      burst(from, calls)
      const took = performance.now() - begin
      from += calls
      return (took * 1e6) / calls
    },
  }
}

function report(bench: Bench, bursts: ReadonlyMap<string, number[]>): void {
  for (const [name, samples] of bursts) bench.samples('in bursts, drain thread at work', name, 'ns', samples)
  const of = (name: string) => median(bursts.get(name)!)
  const control = of('loop without a call')
  bench.goal('bound handle, a call', of('bound handle') - control, { atMost: 15 }, 'ns')
  bench.goal(
    'log() of 10 keys, a call',
    of('log() of 10 keys') - of('object of 10 keys without log()'),
    { atMost: 250 },
    'ns',
  )
}

async function pacedCalls(
  bench: Bench,
  subject: Subject,
  peers: readonly { readonly name: string; readonly call: (step: number) => void }[],
): Promise<void> {
  const calls = bench.either(20_000, 200_000)
  const shares = { p50: 0.5, p99: 0.99, 'p99.9': 0.999, 'p99.99': 0.9999 }
  const figures = new Map<string, number[]>()
  let sink = 0
  const subjects = [
    { name: 'bound handle', call: () => subject.call() },
    {
      name: 'control loop',
      call: (i: number) => {
        sink += i
      },
    },
    ...peers,
  ]
  for (let round = 0; round < bench.either(2, 10); round++) {
    for (const { name, call } of subjects) {
      const sorted = paced(call, calls, 1e6)
      for (const [share, at] of Object.entries(shares)) {
        const key = `${name}, ${share}`
        figures.set(key, [...(figures.get(key) ?? []), quantile(sorted, at)])
      }
      await subject.settle(0)
    }
  }
  if (!Number.isFinite(sink)) throw new Error('the control loop computes a number')
  for (const [name, samples] of figures) bench.samples('paced at 1 M calls/s', name, 'ns', samples)
  const control = median(figures.get('control loop, p99.9')!)
  bench.goal(
    'bound handle paced at 1 M/s, p99.9',
    median(figures.get('bound handle, p99.9')!),
    { atMost: Math.max(1000, 3 * control) },
    'ns',
  )
}

/** The lane without a reader thread: what the stores themselves cost. Emptied by its own thread between samples. */
async function laneAlone(bench: Bench): Promise<void> {
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
