/**
 * A W&B server at the other end of a slow line: every request takes 50 ms longer. Rows share requests, so a metric
 * takes far less than a round trip; and what a call costs does not depend on it. The server is a process of its own,
 * so that its work is not the caller's.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { median, quantile } from '../../bench/statistics.ts'
import { ROW_KEYS, rowAt } from '../../bench/wandb-rows.ts'
import { WandbServer } from '../../bench/wandb-server.ts'
import { type Run, startLogging } from '../../src/index.ts'
import { temporaryFolder } from '../run/program.ts'
import { paced } from './paced-loop.ts'
import { isLong } from './seed.ts'

const ROUND_TRIP_MS = 50
const METRIC_MS = 20
const ROWS = isLong ? 50_000 : 5_000
const STEP_EVERY_MS = 100
const STEPS = isLong ? 100 : 30
/** Some 250 ms on a quiet machine: a step is complete with the second one after it, then there is the way there. */
const READABLE_MS = 3_000
const PAIRS = isLong ? 15 : 6
const WINDOW_MS = 1_000
const CALLS_PER_SECOND = 2_000
const MAX_RATIO = 1.5

async function startFar(context: TestContext, delayMs: number) {
  const server = await WandbServer.start({ isLight: true, delayMs })
  context.after(() => server.stop())
  const run = startLogging({
    dir: temporaryFolder(context),
    project: 'far',
    backend: { wandb: { baseUrl: server.url, apiKey: server.key, intervalMs: 0 } },
  })
  while (run.stats().destinations.wandb!.state === 'opening') await sleep(5)
  return { server, run }
}

async function assertWhole(server: WandbServer, run: Run, rows: number): Promise<void> {
  const { lines, again, problems, state } = await server.run(`stander/far/${run.id}`)
  assert.deepEqual(
    { lines, again, problems, state },
    { lines: rows, again: 0, problems: 0, state: 'finished' },
  )
}

test(`a metric takes less than ${METRIC_MS} ms from its call to the acknowledgement, ${ROUND_TRIP_MS} ms away`, async (context) => {
  const { server, run } = await startFar(context, ROUND_TRIP_MS)
  const began = performance.now()
  for (let step = 0; step < ROWS; step++) run.log(rowAt(step), { step })
  const stats = await run.finish()
  const perMetricMs = (performance.now() - began) / (ROWS * ROW_KEYS.length)
  context.diagnostic(`${(perMetricMs * 1000).toFixed(1)} µs a metric`)
  assert.equal(stats.destinations.wandb!.delivered, ROWS * ROW_KEYS.length)
  await assertWhole(server, run, ROWS)
  assert.ok(perMetricMs < METRIC_MS, `${perMetricMs} ms a metric`)
})

test('a step can be read there soon after it is complete', async (context) => {
  const { server, run } = await startFar(context, ROUND_TRIP_MS)
  const loggedAt: number[] = []
  for (let step = 0; step < STEPS; step++) {
    loggedAt.push(performance.timeOrigin + performance.now())
    run.log(rowAt(step), { step })
    await sleep(STEP_EVERY_MS)
  }
  await run.finish()
  await assertWhole(server, run, STEPS)
  const { growth } = await server.run(`stander/far/${run.id}`)
  const waits = loggedAt.map((at, step) => growth.find(({ lines }) => lines > step)!.atMs - at)
  context.diagnostic(
    `readable after ${median(waits).toFixed(0)} ms, ${Math.max(...waits).toFixed(0)} at most`,
  )
  assert.ok(growth.length >= STEPS / 10, `${STEPS} steps came with ${growth.length} requests`)
  assert.ok(median(waits) < READABLE_MS, `${median(waits)} ms`)
})

test('a call costs the same, however far the server is', async (context) => {
  const { server, run } = await startFar(context, 0)
  const row = rowAt(0)
  let step = 0
  /** Median of a window's calls, in ms. */
  const windowOf = async (delayMs: number) => {
    await server.delay(delayMs)
    const latencies: number[] = []
    paced(CALLS_PER_SECOND, WINDOW_MS, () => {
      const before = performance.now()
      run.log(row, { step: step++ })
      latencies.push(performance.now() - before)
    })
    return quantile(
      latencies.sort((a, b) => a - b),
      0.5,
    )
  }
  await windowOf(0)
  const ratios: number[] = []
  for (let pair = 0; pair < PAIRS; pair++) {
    // in turns, so that neither always comes second
    const isFarFirst = pair % 2 === 1
    const first = await windowOf(isFarFirst ? ROUND_TRIP_MS : 0)
    const second = await windowOf(isFarFirst ? 0 : ROUND_TRIP_MS)
    ratios.push(isFarFirst ? first / second : second / first)
  }
  await server.delay(0)
  await run.finish()
  await assertWhole(server, run, step)
  context.diagnostic(`a call far away against one nearby: ${ratios.map((one) => one.toFixed(2)).join(' ')}`)
  assert.ok(median(ratios) < MAX_RATIO, `${ratios}`)
})
