/** What does delivery to Aim cost, us and the server, beside Aim's own remote client? */
import { setTimeout as sleep } from 'node:timers/promises'
import { resolveOptions } from '../src/core/options.ts'
import { type Run, startLogging } from '../src/index.ts'
import { AIM_OPTIONS, prepareOptions, runHashOf } from '../src/sinks/aim/options.ts'
import { AimServer } from '../test/peers/aim-server.ts'
import { prepareAimPython } from '../test/peers/python.ts'
import { FakeAim } from '../test/sinks/aim/fake-server.ts'
import { acknowledged } from './aim-batches.ts'
import type { Bench, Question } from './harness.ts'
import { median } from './statistics.ts'

const METRICS = 10
/** Of the series that all contestants write. */
const STEPS = 1_000
const LIVE_STEPS = 3_000
const LIVE_PER_SECOND = 200
const LONG_STEPS = 10_000

export const aim: Question = {
  name: 'aim',
  title: 'What delivery to Aim costs, us and the server',
  method: [
    `A real \`aim server\` 3.29.1 gets rows of ${METRICS} metrics, each contestant into a run of its own, in turns: tracelet with a backlog of ${STEPS} steps (logged at once, as \`tracelet sync\` finds it), tracelet live (${LIVE_PER_SECOND} rows a second, ${LIVE_STEPS} steps), and Aim's own client over \`aim://\` (\`track()\` of ${STEPS} steps as fast as it takes them, then \`close()\`). Server CPU is user and system time of its process.`,
    'Wall: from the first call until the last value is acknowledged, for Aim’s client until `close()` returns. What a run costs before its first row is in ours and not in theirs.',
    `Our CPU: user and system time of our whole process over a run of ${LONG_STEPS} steps, from the first call to the end of \`finish()\`.`,
    'By batch: the sink alone, rows of ten metrics, from `write()` to the acknowledgement, a thousand points and more at each size; of one point the row has one metric.',
    'Every run’s points are counted by Aim’s own SDK.',
  ],
  bounds: [
    'The server does everything in one loop. Each value costs it four arrays, each a put, a delete and two range deletes of RocksDB; a message costs it the square of its length to decode.',
  ],
  async run(bench) {
    if (bench.quick) await againstDouble(bench)
    else await againstServer(bench)
  },
}

/** What a second can show: that it runs, and that all arrives. */
async function againstDouble(bench: Bench): Promise<void> {
  const fake = new FakeAim()
  try {
    const repo = await fake.listen()
    const { run, cpuMs } = await logAll(bench, repo, 200)
    bench.samples('our CPU', 'with the double’s', 'µs a point', [(cpuMs * 1000) / (200 * METRICS)])
    const { delivered } = run.stats().destinations.aim!
    bench.law('to the double', { logged: 200 * METRICS, delivered })
    bench.goal('requests that a server would suffer from', fake.problems.length, { atMost: 0 }, '')
  } finally {
    await fake.stop()
  }
}

interface Taken {
  readonly serverUs: number
  readonly wallMs: number
}

async function againstServer(bench: Bench): Promise<void> {
  const server = await AimServer.start(await prepareAimPython())
  try {
    const contestants: Readonly<Record<string, () => Promise<Taken>>> = {
      'tracelet, backlog': () => ours(bench, server, STEPS),
      'tracelet, live': () => ours(bench, server, LIVE_STEPS, LIVE_PER_SECOND),
      "Aim's client": () => theirs(bench, server),
    }
    const names = Object.keys(contestants)
    const taken = new Map<string, Taken[]>(names.map((name) => [name, []]))
    for (let round = 0; round < 5; round++) {
      for (let turn = 0; turn < names.length; turn++) {
        const name = names[(round + turn) % names.length]!
        taken.get(name)!.push(await contestants[name]!())
      }
    }
    const of = (name: string, what: keyof Taken) => taken.get(name)!.map((one) => one[what])
    for (const name of names) bench.samples('server CPU', name, 'µs a point', of(name, 'serverUs'))
    for (const name of names.filter((one) => !one.endsWith('live'))) {
      bench.samples(`wall, ${STEPS} steps of ${METRICS} metrics`, name, 'ms', of(name, 'wallMs'))
    }
    const [backlog, live, client] = names.map((name) => median(of(name, 'serverUs'))) as [
      number,
      number,
      number,
    ]
    bench.goal('server CPU live, of that by Aim’s client', live / client, { atMost: 1 / 3 }, '×')
    bench.goal('server CPU of a backlog', backlog, { atMost: 60 }, 'µs a point')
    const faster = median(of("Aim's client", 'wallMs')) / median(of('tracelet, backlog', 'wallMs'))
    bench.goal('wall of Aim’s client, of ours', faster, { atLeast: 4 }, '×')
    await longRun(bench, server)
    await acknowledged(bench, server)
  } finally {
    await server.stop()
  }
}

async function longRun(bench: Bench, server: AimServer): Promise<void> {
  const cpu: number[] = []
  const wall: number[] = []
  for (let round = 0; round < 3; round++) {
    const { run, cpuMs, wallMs, runHash } = await logAll(bench, server.address, LONG_STEPS)
    const points = LONG_STEPS * METRICS
    await count(bench, server, `${LONG_STEPS} steps`, runHash(), run, points)
    cpu.push((cpuMs * 1000) / points)
    wall.push(wallMs / points)
  }
  const table = `a run of ${LONG_STEPS} steps at once`
  bench.samples(table, 'our CPU', 'µs a point', cpu)
  bench.samples(table, 'wall', 'ms a point', wall)
  bench.goal('our CPU a point', median(cpu), { atMost: 15 }, 'µs')
  bench.goal('wall a metric at saturation', median(wall), { atMost: 0.33 }, 'ms')
}

async function ours(bench: Bench, server: AimServer, steps: number, perSecond?: number): Promise<Taken> {
  const before = server.cpuSeconds()
  const { run, wallMs, runHash } = await logAll(bench, server.address, steps, perSecond)
  const points = steps * METRICS
  const serverUs = ((server.cpuSeconds() - before) * 1e6) / points
  await count(bench, server, perSecond ? 'live' : 'backlog', runHash(), run, points)
  return { serverUs, wallMs }
}

async function theirs(bench: Bench, server: AimServer): Promise<Taken> {
  const before = server.cpuSeconds()
  const args = [server.address, String(STEPS), String(METRICS)]
  const { hash, wallMs } = (await server.run('log_aim.py', args)) as { hash: string; wallMs: number }
  const serverUs = ((server.cpuSeconds() - before) * 1e6) / (STEPS * METRICS)
  const found = await server.read(hash)
  const stored = found!.metrics.reduce((sum, { steps }) => sum + steps.length, 0)
  bench.law("Aim's client", { logged: STEPS * METRICS, stored })
  return { serverUs, wallMs }
}

async function logAll(bench: Bench, repo: string, steps: number, perSecond?: number) {
  const dir = bench.temporaryFolder()
  const cpu = process.cpuUsage()
  const began = performance.now()
  const run = startLogging({ backend: { aim: { repo } }, dir })
  for (let step = 0; step < steps; step++) {
    const row: Record<string, number> = {}
    for (let metric = 0; metric < METRICS; metric++) row[`m${metric}`] = Math.sin(step * (metric + 1))
    run.log(row, { step })
    if (perSecond !== undefined && step % 10 === 9) {
      await sleep(Math.max(0, began + (step * 1000) / perSecond - performance.now()))
    }
  }
  await run.finish('finished', { deadlineMs: 120_000 })
  const wallMs = performance.now() - began
  const { user, system } = process.cpuUsage(cpu)
  return { run, wallMs, cpuMs: (user + system) / 1000, runHash: () => hashOf(run, repo) }
}

async function count(
  bench: Bench,
  server: AimServer,
  name: string,
  runHash: string,
  run: Run,
  logged: number,
): Promise<void> {
  const found = await server.read(runHash)
  const stored = found!.metrics.reduce((sum, { steps }) => sum + steps.length, 0)
  bench.law(`tracelet, ${name}`, { logged, delivered: run.stats().destinations.aim!.delivered, stored })
}

function hashOf(run: Run, repo: string): string {
  const options = prepareOptions(resolveOptions(AIM_OPTIONS, { repo }, {}, 'bench'))
  return runHashOf(options, run.info)
}
