/**
 * A thousand runs of one process in one project at W&B, whose server has the published limits and refuses what is
 * beyond them: none is ever reached, every row is there once, and no run is taken for dead.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RunSeen, WandbServer } from '../../bench/wandb-server.ts'
import { temporaryFolder } from '../run/program.ts'
import { type ManyRuns, type ManyRunsEnd, type ManyRunsLook, POINTS_PER_RUN } from './orders.ts'
import { tellOf } from './programs.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
const RUNS = isLong ? 1000 : 100
const ROWS_PER_RUN = POINTS_PER_RUN / 2
/** Of a dedicated W&B server: https://docs.wandb.ai/guides/track/limits */
const QUOTAS = { project: { perSecond: 500 }, run: { perSecond: 2 }, creations: { perSecond: 80 } }
/**
 * What the real server takes for dead nobody has told. A run that is open says something every 30 s; of more than 64
 * the others do so in turns, after a minute and a tenth of a second for each of them.
 */
const CRASH_AFTER_MS = 180_000
/** Long enough for a sign of life of every run, or of those that are open. */
const IDLE_MS = isLong ? 200_000 : 34_000
const LEAST_ALIVE = isLong ? RUNS : 64
const FINISH_DEADLINE_MS = 120_000
const ENDS_WITHIN_MS = isLong ? 900_000 : 140_000
const LOOK_MS = 1_000
/** Beside the lanes: what the heaps of three threads and the allocator have not given back is in it. */
const BYTES_PER_RUN = 256 * 1024

test(`${RUNS} runs of one process stay inside the limits of a W&B project, alive and each row once`, async (context) => {
  const server = await WandbServer.start({ quotas: QUOTAS, crashAfterMs: CRASH_AFTER_MS })
  context.after(() => server.stop())
  const orders: ManyRuns = {
    dir: temporaryFolder(context),
    backend: { wandb: { baseUrl: server.url, project: 'many', intervalMs: 2_000 } },
    looks: [RUNS * 0.25, RUNS * 0.5, RUNS],
    awaitsDelivery: true,
    idleMs: IDLE_MS,
    end: 'finish',
    deadlineMs: FINISH_DEADLINE_MS,
  }
  process.env.WANDB_API_KEY = server.key
  const crashed = new Set<string>()
  let longestSilenceMs = 0
  let hasEnded = false
  const watching = (async () => {
    for (; !hasEnded; await sleep(LOOK_MS)) {
      for (const { path, state, silentMs } of await server.runs()) {
        if (state === 'crashed') crashed.add(path)
        if (state === 'running') longestSilenceMs = Math.max(longestSilenceMs, silentMs)
      }
    }
  })()
  const told = await tellOf<ManyRunsLook & ManyRunsEnd>('many-runs', orders, undefined, ENDS_WITHIN_MS)
  hasEnded = true
  await watching
  assert.equal(told.code, 0, told.stderr.slice(-2_000))
  const end = told.lines.at(-1)!
  const looks = told.lines.slice(0, -1)
  const runs = await server.runs()
  const violations = await server.violations()
  const bytesPerRun = (looks[2]!.rssBytes - looks[1]!.rssBytes) / (RUNS / 2)
  for (const { runs: count, rssBytes, descriptors } of looks)
    context.diagnostic(`${count} runs: ${(rssBytes / 2 ** 20).toFixed(0)} MiB, ${descriptors} descriptors`)
  context.diagnostic(
    `${(bytesPerRun / 1024).toFixed(0)} KiB a run, idle ${(100 * end.idleCpu).toFixed(1)} % of a core, ` +
      `all finished in ${end.finishMs.toFixed(0)} ms, ${sum(runs, 'requests')} requests, ` +
      `${sum(runs, 'heartbeats')} of them signs of life, silent for ${longestSilenceMs} ms at most, ${told.ms.toFixed(0)} ms in all`,
  )
  assert.deepEqual(violations, { project: 0, run: 0, creations: 0 })
  assert.deepEqual([...crashed], [])
  assert.deepEqual(end.broken, [])
  assert.equal(end.pending, 0)
  assert.equal(runs.length, RUNS)
  for (const { path, lines, again, state, problems } of runs) {
    assert.deepEqual(
      { lines, again, state, problems },
      { lines: ROWS_PER_RUN, again: 0, state: 'finished', problems: 0 },
      path,
    )
  }
  const alive = runs.filter(({ heartbeats }) => heartbeats > 0).length
  assert.ok(alive >= LEAST_ALIVE, `${alive} runs gave a sign of life`)
  await assertRows(server, runs)
  assert.ok(end.finishMs < FINISH_DEADLINE_MS, `finish() took ${end.finishMs} ms`)
  if (process.platform === 'linux' && isLong)
    assert.ok(bytesPerRun <= BYTES_PER_RUN, `${bytesPerRun} bytes a run`)
})

/** Each run has its own rows: `a` counts up from the run's number. */
async function assertRows(server: WandbServer, runs: readonly RunSeen[]): Promise<void> {
  for (const { path } of runs) {
    const number = Number(path.split('-').at(-1))
    const rows = await server.rows(path)
    assert.deepEqual(
      rows.map(({ _step, a, b }) => [_step, a, b]),
      rows.map((_, step) => [step, number + step, 0 - number]),
      path,
    )
  }
}

function sum(runs: readonly RunSeen[], what: 'requests' | 'heartbeats'): number {
  return runs.reduce((total, run) => total + run[what], 0)
}
