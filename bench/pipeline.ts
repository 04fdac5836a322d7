/** How many points a second get into the journal? */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { startLogging } from '../src/index.ts'
import { workerUrl } from '../src/pipeline/worker-url.ts'
import { drainStages } from './drain-stages.ts'
import type { Bench, Question } from './harness.ts'
import { checkJournal } from './journal-check.ts'
import type { ProducerTask } from './pipeline-producer.ts'
import { type Flood, flood, loggedBy, type Shape } from './producers.ts'
import { rawAppend } from './raw-append.ts'
import { median, quantile } from './statistics.ts'

interface Scenario {
  readonly name: string
  readonly shape: Shape
  /** Threads that log, the main thread included. */
  readonly producers: 1 | 2
}

const SCENARIOS: readonly Scenario[] = [
  { name: '10 series a step by handles', shape: 'ten handles', producers: 1 },
  { name: '1 series a step by a handle', shape: 'one handle', producers: 1 },
  { name: 'rows by log() of 10 keys', shape: 'log() of 10 keys', producers: 1 },
  { name: '10 series a step by handles, two threads', shape: 'ten handles', producers: 2 },
]
const GOAL_SCENARIO = SCENARIOS[0]!

export const pipeline: Question = {
  name: 'pipeline',
  title: 'What the pipeline sustains, from log() into the journal',
  method: [
    'Producers log as fast as they can for 5 s into a run of the embedded default, scenarios interleaved over three rounds. Accepted: points over the time until the last call returned; journaled: until `flush()` resolved.',
    'A full ring makes the producer wait for the journal, so both rates are what the slowest stage sustains.',
    'After every run each point is read back from the journal: count, order, step and the bits of the value must be what was logged.',
    'The stages of the drain thread are measured apart, in one thread, some 16,000 points at a time.',
  ],
  bounds: [
    'One drain thread takes, coalesces, lays out, checksums and appends: its cost a point, in the table of stages, bounds the rate; the producer then waits for room. Where two cores are two hyperthreads of one, both are slower than alone.',
    'With ten series a step a fragment and its row are paid once for ten points; with one series a step every point begins a fragment (24 bytes and a close mark of 4 beside the 12 of a point).',
    'Where the MB/s come near those of the control, the disk bounds it: while a sync is under way an append may wait for 100 ms, and with it the producer, once the 65,536 slots of its lane are full.',
    'On two cores a second producer takes its time from the drain thread.',
  ],
  async run(bench) {
    await drainStages(bench)
    const rates = new Map<string, number[]>()
    const disk = { rate: [] as number[], longest: [] as number[] }
    for (let round = 0; round < bench.either(1, 3); round++) {
      for (const scenario of SCENARIOS) {
        const figures = await sustain(bench, scenario, bench.either(0.2, 5))
        for (const [name, value] of Object.entries(figures)) {
          const key = `${scenario.name}\n${name}`
          rates.set(key, [...(rates.get(key) ?? []), value])
        }
      }
      const raw = rawAppend(bench.temporaryFolder(), bench.either(0.2, 5))
      disk.rate.push(raw.megabytesPerSecond)
      disk.longest.push(raw.longestMs)
    }
    for (const [key, samples] of rates) {
      const [name, figure] = key.split('\n') as [string, keyof typeof UNITS]
      bench.samples(name, figure, UNITS[figure], samples)
    }
    const control = 'control: 256 KiB pieces appended and synced, nothing else'
    bench.samples(control, 'appended', 'MB/s', disk.rate)
    bench.samples(control, 'longest append', 'ms', disk.longest)
    bench.goal(
      'one producer, 10 series a step, into the journal',
      median(rates.get(`${GOAL_SCENARIO.name}\njournaled`)!),
      { atLeast: 10 },
      UNITS.journaled,
    )
  },
}

const UNITS = {
  accepted: 'M points/s',
  journaled: 'M points/s',
  'into the journal': 'MB/s',
  'bytes a point': 'B',
  'longest wait': 'ms',
  'time waited for room': '%',
  'call, p50 of stretches': 'ns',
  'call, p99 of stretches': 'ns',
} as const

/**
 * One run of one scenario, checked against the journal.
 * @param afterwards called with the run's folder between the end of the run and the check
 * @throws LawBroken
 */
export async function sustain(
  bench: Bench,
  { name, shape, producers }: Scenario = GOAL_SCENARIO,
  seconds = 1,
  afterwards?: (folder: string) => void,
): Promise<Record<keyof typeof UNITS, number>> {
  const dir = bench.temporaryFolder()
  try {
    const run = startLogging({ backend: 'local', dir, project: 'bench', expName: 'pipeline' })
    const stallsBefore = run.stats().stalls
    const start = new Int32Array(new SharedArrayBuffer(4))
    const other =
      producers === 2
        ? await startProducer({ handle: run.handle(), shape, prefix: 'b', seconds, start })
        : undefined
    await run.flush()
    const begin = performance.now()
    Atomics.store(start, 0, 1)
    Atomics.notify(start, 0)
    const floods = [flood(run, shape, 'a', seconds)]
    const answer = other?.flooded
    await run.flush()
    if (answer) floods.push(await answer)
    const elapsed = (performance.now() - begin) / 1000
    const stats = await run.finish()
    await other?.worker.terminate()
    afterwards?.(run.info.folder)
    const logged = new Map(floods.flatMap(({ points }, i) => loggedBy(shape, 'ab'[i]!, points)))
    const bytes = checkJournal(bench, `${name}, ${seconds} s`, run.info.folder, logged, stats)
    const stretches = floods.flatMap((each) => each.stretches).sort((a, b) => a - b)
    return {
      accepted: floods.reduce((sum, each) => sum + each.points / each.seconds, 0) / 1e6,
      journaled: stats.journaled / elapsed / 1e6,
      'into the journal': (stats.journaled * bytes) / elapsed / 1e6,
      'bytes a point': bytes,
      'longest wait': (stretches.at(-1)! * 10_000) / 1e6,
      'time waited for room': ((stats.stalls.totalMs - stallsBefore.totalMs) / elapsed) * 0.1,
      'call, p50 of stretches': quantile(stretches, 0.5),
      'call, p99 of stretches': quantile(stretches, 0.99),
    }
  } finally {
    // a gigabyte each: not to be kept to the end
    rmSync(dir, { recursive: true, force: true })
  }
}

async function startProducer(task: ProducerTask): Promise<{ worker: Worker; flooded: Promise<Flood> }> {
  const worker = new Worker(workerUrl('./pipeline-producer', import.meta.url), { workerData: task })
  await once(worker, 'message')
  return { worker, flooded: once(worker, 'message').then(([flooded]) => flooded as Flood) }
}
