/** What does it cost that points survive the machine, not only the process? */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startLogging } from '../src/index.ts'
import type { Bench, Question } from './harness.ts'
import { checkJournal } from './journal-check.ts'
import { flood, loggedBy } from './producers.ts'
import { interleave, median, quantile } from './statistics.ts'

const SHAPE = 'ten handles'
/** Memory with the calls of a file system: syncs cost nothing there. */
const MEMORY = '/dev/shm'

const FIGURES = {
  'call, p50 of stretches': 'ns',
  'into the journal': 'M points/s',
  'CPU of all threads': 'ns a point',
  'flush() after one row, p50': 'ms',
  'flush() after one row, p95': 'ms',
} as const
type Figures = Record<keyof typeof FIGURES, number>

interface Setting {
  readonly name: string
  readonly durability: 'process' | 'power'
  readonly inMemory?: true
}

const PROCESS: Setting = {
  name: "durability: 'process' (default), synced every 500 ms",
  durability: 'process',
}
const POWER: Setting = { name: "durability: 'power'", durability: 'power' }
const UNSYNCED: Setting = {
  name: "control: 'process' in memory, where a sync does nothing",
  durability: 'process',
  inMemory: true,
}

export const durability: Question = {
  name: 'durability',
  title: 'What each durability setting costs',
  method: [
    'One producer logs ten series a step by handles into a run with the backend `local`, as fast as it can, then flushes after single rows; settings interleaved over the rounds, each in a run of its own.',
    "A call never waits for a sync: the setting only decides what `flush()` and `finish()` wait for. 'process': the append, which survives the death of the process. 'power': the sync, which survives that of the machine. Both are synced every 500 ms by a thread that does nothing else.",
    'The control writes to memory, where a sync does nothing: what is faster there is the price of the disk, syncs included.',
    'After every run each point is read back from the journal.',
  ],
  bounds: [
    "The time of a sync is the disk's: `flush()` with 'power' takes about one of it, so a flush a step bounds the loop to that pace. On a disk without a cache of its own it can be tens of milliseconds.",
    'CPU is that of the whole process, the producer included, over the points of the flood.',
  ],
  async run(bench) {
    const settings = [PROCESS, POWER, ...(existsSync(MEMORY) ? [UNSYNCED] : [])]
    const found = new Map<string, Figures[]>(settings.map(({ name }) => [name, []]))
    const cases = settings.map((setting) => ({
      name: setting.name,
      run: async () => {
        const figures = await measure(bench, setting)
        found.get(setting.name)!.push(figures)
        return figures['into the journal']
      },
    }))
    await interleave(cases, bench.either(1, 7))
    for (const [figure, unit] of Object.entries(FIGURES) as [keyof Figures, string][])
      for (const [name, samples] of found)
        bench.samples(
          figure,
          name,
          unit,
          samples.map((one) => one[figure]),
        )
    const ratios = (figure: keyof Figures) =>
      found.get(POWER.name)!.map((one, round) => one[figure] / found.get(PROCESS.name)![round]![figure])
    for (const figure of Object.keys(FIGURES) as (keyof Figures)[])
      bench.samples("'power' over 'process', round by round", figure, '×', ratios(figure))
    bench.goal(
      "a call with 'power' over one with 'process'",
      median(ratios('call, p50 of stretches')),
      { atMost: 1.5 },
      '×',
    )
  },
}

/** @throws LawBroken */
async function measure(bench: Bench, { name, durability, inMemory }: Setting): Promise<Figures> {
  const dir = inMemory ? mkdtempSync(join(MEMORY, 'tracelet-bench-')) : bench.temporaryFolder()
  try {
    const run = startLogging({ backend: 'local', dir, project: 'bench', durability })
    await run.flush()
    const cpuBefore = process.cpuUsage()
    const begin = performance.now()
    const { points, stretches } = flood(run, SHAPE, 'a', bench.either(0.1, 1.5))
    await run.flush()
    const seconds = (performance.now() - begin) / 1000
    const cpu = process.cpuUsage(cpuBefore)
    const flushes = bench.either(3, 40)
    const single = run.metric('flushed')
    const waits: number[] = []
    for (let step = 0; step < flushes; step++) {
      single.log(step, step)
      const before = performance.now()
      await run.flush()
      waits.push(performance.now() - before)
    }
    const stats = await run.finish()
    const logged = new Map([
      ...loggedBy(SHAPE, 'a', points),
      ['flushed', { count: flushes, firstStep: 0, valueAt: (step: number) => step }] as const,
    ])
    checkJournal(bench, name, run.info.folder, logged, stats)
    waits.sort((a, b) => a - b)
    return {
      'call, p50 of stretches': quantile(
        [...stretches].sort((a, b) => a - b),
        0.5,
      ),
      'into the journal': points / seconds / 1e6,
      'CPU of all threads': ((cpu.user + cpu.system) * 1000) / points,
      'flush() after one row, p50': quantile(waits, 0.5),
      'flush() after one row, p95': quantile(waits, 0.95),
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
