/** Does a process that trains for long grow, when its backends fail now and then? */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../src/pipeline/worker-url.ts'
import { RUN_OPTIONS } from '../src/run/options.ts'
import { SEED } from '../test/random.ts'
import { type Bench, LawBroken, type Question } from './harness.ts'
import { robustSlope, slope } from './plot.ts'
import type { FakeCounts, FromFakes, ServerOrders, ToFakes } from './soak-server.ts'
import type { FromTrainer, Look, TrainerOrders } from './soak-trainer.ts'
import { median } from './statistics.ts'

const MIB = 2 ** 20
const POINTS_PER_SECOND = 200_000
const JOURNAL_BYTES = 2 ** 30
const FULL_MINUTES = 10
const QUICK_MINUTES = 0.2
/** What the compiler, the caches and the first outages take is taken by then. */
const SETTLED_SECONDS = 120
const MIB_PER_MINUTE = 1
const WINDOW_SECONDS = 10
const FINISH_MS = 180_000

export const soak: Question = {
  name: 'soak',
  title: 'Ten minutes at 200,000 points a second into two fakes with faults',
  onlyNamed: true,
  method: [
    'A training process logs 10 series at 20,000 steps a second by bound handles, in a loop that turns every millisecond, to two fakes in a process of their own: one keeps points by series and step and takes 4 requests at once, one keeps a stream of rows and takes one at a time. The journal may take 1 GB; what both have is removed (`maxJournalBytes`, `retention`).',
    'One request in 200 meets a fault, by seeded chance: cut before or after it was applied, 429 and 503 with `Retry-After: 1`, 500, a 200 that applied nothing, an answer after 2 s. Each fake is away for 15 s in every 90 s, not at the same time.',
    'The fakes check every point against what was logged and remember which they have, not the points. When the loop has ended they answer without faults, and `finish()` has 3 minutes.',
    'Once a second the training process tells its resident memory, all its threads together, and its sums. The slope is that of the least squares’ line from minute 2 to the end of the loop; beside it the median slope of all pairs of medians of 10 s (Theil and Sen), which depends less on where the outages stand. Behind: points that are pending, in seconds of the pace.',
  ],
  bounds: [
    'Training process and fakes share the cores: what the fakes take to check is not there for delivery.',
    'After an outage everything held back is delivered as fast as encoding and the fake allow, while new points come.',
  ],
  async run(bench) {
    const minutes = bench.minutes ?? bench.either(QUICK_MINUTES, FULL_MINUTES)
    const seconds = minutes * 60
    const fakes = startFakes(seconds)
    try {
      await soakFor(bench, seconds, fakes)
    } finally {
      fakes.kill()
    }
  },
}

function startFakes(seconds: number): ChildProcess {
  const short = Math.min(1, seconds / 90)
  const orders: ServerOrders = {
    seed: SEED,
    faults: 1 / 200,
    outageEveryMs: 90_000 * short,
    outageMs: 15_000 * short,
  }
  return fork(fileURLToPath(workerUrl('./soak-server', import.meta.url)), [JSON.stringify(orders)])
}

async function soakFor(bench: Bench, seconds: number, fakes: ChildProcess): Promise<void> {
  const { ports } = (await once(fakes, 'message'))[0] as Extract<FromFakes, { ports: readonly number[] }>
  const backend = Object.fromEntries(
    ['identity', 'offset'].map((name, index) => {
      const module = fileURLToPath(workerUrl(`./soak-${name}`, import.meta.url))
      return [`soak-${name}`, { module, url: `http://127.0.0.1:${ports[index]}` }]
    }),
  )
  const wanted = { maxJournalBytes: JOURNAL_BYTES, retention: 'delivered' }
  const orders: TrainerOrders = {
    dir: bench.temporaryFolder(),
    seconds,
    pointsPerSecond: POINTS_PER_SECOND,
    backend: backend as TrainerOrders['backend'],
    options: Object.fromEntries(Object.entries(wanted).filter(([name]) => name in RUN_OPTIONS)),
    finishMs: FINISH_MS,
  }
  const trainer = fork(fileURLToPath(workerUrl('./soak-trainer', import.meta.url)), [JSON.stringify(orders)])
  const { looks, journal, end } = await watch(trainer, fakes, bench)
  report(bench, looks, journal, end)
  const counts = await ask(fakes, 'count')
  check(bench, end, counts)
}

/** Sizes of the journal, by look. */
type Journal = number[]
type End = Extract<FromTrainer, { type: 'finished' }>

async function watch(trainer: ChildProcess, fakes: ChildProcess, bench: Bench) {
  const looks: Look[] = []
  const journal: Journal = []
  let folder = ''
  const end = await new Promise<End>((resolve, reject) => {
    trainer.on('exit', (code) => reject(new LawBroken(`the training process ended with ${code}`)))
    trainer.on('message', (message: FromTrainer) => {
      if (message.type === 'run') folder = message.folder
      else if (message.type === 'finished') resolve(message)
      else if (message.type === 'logged') void ask(fakes, 'calm').then(() => trainer.send('finish'))
      else {
        looks.push(message)
        journal.push(journalBytes(folder))
        if (looks.length % 30 === 0) tellProgress(message, journal.at(-1)!, bench)
      }
    })
  })
  return { looks, journal, end }
}

function tellProgress({ seconds, rssBytes, stats }: Look, journal: number, bench: Bench): void {
  if (bench.quick) return
  const behind = Object.values(stats.destinations).map(({ pending }) =>
    (pending / POINTS_PER_SECOND).toFixed(1),
  )
  const sizes = `${(rssBytes / MIB).toFixed(0)} MiB, journal ${(journal / MIB).toFixed(0)} MiB`
  process.stdout.write(`${seconds.toFixed(0)} s: ${sizes}, behind ${behind.join(' and ')} s\n`)
}

async function ask(fakes: ChildProcess, what: ToFakes): Promise<Readonly<Record<string, FakeCounts>>> {
  fakes.send(what)
  const [answer] = (await once(fakes, 'message')) as [Extract<FromFakes, { counts: unknown }>]
  return answer.counts
}

function journalBytes(folder: string): number {
  let sum = 0
  for (const file of readdirSync(folder)) {
    // one that retention removes just now has no size
    if (file.endsWith('.tlj')) sum += statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0
  }
  return sum
}

function report(bench: Bench, looks: readonly Look[], journal: Journal, end: End): void {
  const seconds = looks.map((look) => look.seconds)
  const rss = looks.map(({ rssBytes }) => rssBytes / MIB)
  const behind = (name: string) =>
    looks.map(({ stats }) => stats.destinations[`soak-${name}`]!.pending / POINTS_PER_SECOND)
  bench.trace('resident memory', 'MiB of memory', seconds, rss)
  bench.trace(
    'journal on disk',
    'MiB of journal',
    seconds,
    journal.map((bytes) => bytes / MIB),
  )
  bench.trace('points by identity', 'seconds behind', seconds, behind('identity'))
  bench.trace('rows by offset', 'seconds behind', seconds, behind('offset'))
  const table = 'the training process'
  const total = seconds.at(-1) ?? 0
  const from = Math.min(SETTLED_SECONDS, total / 2)
  const settled = looks.map((_, index) => index).filter((index) => seconds[index]! >= from)
  const settledSeconds = settled.map((index) => seconds[index]!)
  const settledRss = settled.map((index) => rss[index]!)
  bench.samples(table, 'resident memory', 'MiB', settledRss)
  const windows = medians(settledSeconds, settledRss)
  const robust = 60 * robustSlope(windows.seconds, windows.values)
  bench.samples(table, 'its growth by the median of slopes', 'MiB/min', [robust])
  bench.samples(
    table,
    'journal on disk',
    'MiB',
    journal.map((bytes) => bytes / MIB),
  )
  bench.samples(table, 'logged', 'thousand points/s', rates(looks))
  bench.samples(
    table,
    'longest turn of the loop in a second',
    'ms',
    looks.map((look) => look.longestTurnMs),
  )
  for (const name of ['identity', 'offset']) bench.samples(table, `behind: ${name}`, 's', behind(name))
  bench.samples(table, 'finish()', 's', [end.finishMs / 1000])
  const growth = 60 * slope(settledSeconds, settledRss)
  bench.goal(`growth from second ${Math.round(from)} on`, growth, { atMost: MIB_PER_MINUTE }, 'MiB/min')
}

/** Of each window, in its middle. */
function medians(seconds: readonly number[], values: readonly number[]) {
  const windows = new Map<number, number[]>()
  for (const [index, second] of seconds.entries()) {
    const window = Math.floor(second / WINDOW_SECONDS)
    windows.set(window, [...(windows.get(window) ?? []), values[index]!])
  }
  return {
    seconds: [...windows.keys()].map((window) => (window + 0.5) * WINDOW_SECONDS),
    values: [...windows.values()].map((of) => median(of)),
  }
}

function rates(looks: readonly Look[]): number[] {
  return looks.slice(1).map((look, index) => {
    const before = looks[index]!
    return (look.logged - before.logged) / (look.seconds - before.seconds) / 1000
  })
}

function check(bench: Bench, { logged, stats }: End, fakes: Readonly<Record<string, FakeCounts>>): void {
  const { accepted, journaled, coalesced, lost } = stats
  const rest = lost.laneFull + lost.disk
  bench.law('the process', {
    logged,
    accepted,
    [`journaled + coalesced + lost (${rest})`]: journaled + coalesced + rest,
  })
  for (const [name, { points, again, wrong, faults, outages }] of Object.entries(fakes)) {
    const { delivered, filtered, rejected, corrupt, pending } = stats.destinations[`soak-${name}`]!
    const what = `${name}, ${faults} faults, ${outages} outages, ${again.toLocaleString('en')} points sent again`
    const sum = delivered + filtered + rejected + corrupt + pending
    bench.law(what, { journaled, 'delivered + filtered + rejected + corrupt + pending': sum })
    // what is pending may be there already, if its answer was lost
    if (pending === 0) bench.law(`${name}, each once`, { delivered, 'at the fake': points })
    else if (points < delivered) throw new LawBroken(`${name} has ${points} of ${delivered} points`)
    bench.law(`${name}, never logged`, { wrong, nothing: 0 })
  }
}
