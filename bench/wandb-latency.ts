/** A live run at W&B's stand-in: what a row costs from the call to the acknowledgement, and how soon it is there. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Run, startLogging } from '../src/index.ts'
import type { Bench } from './harness.ts'
import { paced } from './pace.ts'
import { median, quantile } from './statistics.ts'
import { ROW_KEYS, rowAt } from './wandb-rows.ts'
import type { WandbServer } from './wandb-server.ts'

const STEP_EVERY_MS = 100
/** A producer has two open rows: see src/pipeline/coalesce.ts. */
const COMPLETE_AFTER_STEPS = 2
const CALLS_PER_SECOND = 3_000
/** The bound of a metric, end to end. */
const METRIC_MS = 20

/** Rows as fast as they can be logged, from the first call to the last acknowledgement. */
export async function ownCost(bench: Bench, server: WandbServer, roundTripMs = 0): Promise<void> {
  const rows = bench.either(2_000, 200_000)
  const perMetric: number[] = []
  const cpu: number[] = []
  for (let round = 0; round < bench.either(1, 5); round++) {
    const { run, path } = start(bench, server, `cost-${roundTripMs}-${round}`)
    await untilOpen(run)
    const cpuBefore = process.cpuUsage()
    const began = performance.now()
    for (let step = 0; step < rows; step++) run.log(rowAt(step), { step })
    const stats = await run.finish()
    const elapsedMs = performance.now() - began
    const { user, system } = process.cpuUsage(cpuBefore)
    perMetric.push((elapsedMs * 1000) / (rows * ROW_KEYS.length))
    cpu.push((user + system) / rows)
    const { lines } = await server.run(path)
    bench.law(`logged at full speed, ${roundTripMs} ms of round trip`, {
      logged: rows,
      delivered: stats.destinations.wandb!.delivered / ROW_KEYS.length,
      received: lines,
    })
    await server.forget()
  }
  const table = `logged as fast as it goes, ${roundTripMs} ms of round trip`
  bench.samples(table, 'first call to last acknowledgement', 'µs a metric', perMetric)
  bench.samples(table, 'our CPU: calls, journal and delivery', 'µs a row', cpu)
  if (roundTripMs > 0) {
    const name = `first call to last acknowledgement with ${roundTripMs} ms of round trip`
    bench.goal(name, median(perMetric) / 1000, { atMost: METRIC_MS }, 'ms a metric')
  }
}

/** One step every 100 ms: from its call until it can be read at the server. */
export async function freshness(bench: Bench, server: WandbServer, roundTripMs: number): Promise<void> {
  const steps = bench.either(8, 150)
  const { run, path } = start(bench, server, 'freshness')
  await untilOpen(run)
  const loggedAt: number[] = []
  for (let step = 0; step < steps; step++) {
    loggedAt.push(performance.timeOrigin + performance.now())
    run.log(rowAt(step), { step })
    await sleep(STEP_EVERY_MS)
  }
  await run.finish()
  const { growth, lines } = await server.run(path)
  bench.law('one step every 100 ms', { logged: steps, received: lines })
  const readableAt = (step: number) => growth.find((one) => one.lines > step)!.atMs
  // the last ones are complete by the run's end
  const all = loggedAt.slice(0, -COMPLETE_AFTER_STEPS)
  const table = `a step every ${STEP_EVERY_MS} ms, ${roundTripMs} ms of round trip`
  bench.samples(
    table,
    'from its call until it is readable',
    'ms',
    all.map((at, step) => readableAt(step) - at),
  )
  bench.samples(
    table,
    'from the call that completes it, two steps later',
    'ms',
    all.map((_, step) => Math.max(0, readableAt(step) - loggedAt[step + COMPLETE_AFTER_STEPS]!)),
  )
  await server.forget()
}

/** The caller's cost with the round trip and without, in turns in one run. */
export async function steadyCalls(bench: Bench, server: WandbServer, roundTripMs: number): Promise<void> {
  const { run, path } = start(bench, server, 'calls')
  await untilOpen(run)
  const calls = bench.either(300, CALLS_PER_SECOND)
  const rows = Array.from({ length: calls }, (_, i) => rowAt(i))
  const windows = new Map(
    [0, roundTripMs].map((delayMs) => [delayMs, { p50: [] as number[], p99: [] as number[] }]),
  )
  let step = 0
  for (let pair = 0; pair < bench.either(1, 20); pair++) {
    for (const delayMs of pair % 2 === 0 ? [0, roundTripMs] : [roundTripMs, 0]) {
      await server.delay(delayMs)
      const latencies = paced((i) => run.log(rows[i]!, { step: step++ }), calls, CALLS_PER_SECOND)
      // the first window warms up
      if (pair === 0 && !bench.quick) continue
      windows.get(delayMs)!.p50.push(quantile(latencies, 0.5))
      windows.get(delayMs)!.p99.push(quantile(latencies, 0.99))
    }
  }
  await server.delay(0)
  await run.finish()
  bench.law('calls at a steady rate', { logged: step, received: (await server.run(path)).lines })
  await server.forget()
  const table = `a call of run.log() with ten metrics, ${CALLS_PER_SECOND.toLocaleString('en')} a second`
  for (const [delayMs, { p50, p99 }] of windows) {
    bench.samples(table, `median, ${delayMs} ms of round trip`, 'ns', p50)
    bench.samples(table, `99th percentile, ${delayMs} ms of round trip`, 'ns', p99)
  }
  const [without, delayed] = [windows.get(0)!, windows.get(roundTripMs)!]
  const ratios = delayed.p50.map((latency, i) => latency / without.p50[i]!)
  bench.goal('a call with the round trip against one without', median(ratios), { atMost: 1.1 }, '×')
}

function start(
  bench: Bench,
  server: WandbServer,
  project: string,
): { readonly run: Run; readonly path: string } {
  const run = startLogging({
    backend: { wandb: { baseUrl: server.url, apiKey: server.key, intervalMs: 0 } },
    dir: bench.temporaryFolder(),
    project,
  })
  return { run, path: `stander/${project}/${run.id}` }
}

/** What a run costs before its first row is not what is asked. */
async function untilOpen(run: Run): Promise<void> {
  while (run.stats().destinations.wandb!.state === 'opening') await sleep(5)
}
