/** A thousand runs open at once in one process: what they take, and that each of them is whole. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openRun } from '../../src/index.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { temporaryFolder } from '../run/program.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { type ManyRuns, type ManyRunsEnd, type ManyRunsLook, POINTS_PER_RUN } from './orders.ts'
import { tellOf } from './programs.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
const isLinux = process.platform === 'linux'
const RUNS = isLong ? 1000 : 400
/**
 * Beside the lanes. Of runs with the two embedded destinations it is below 100 KiB; here there is a third one, and
 * what the heaps of four threads and the allocator have not given back on a busy machine.
 */
const BYTES_PER_RUN = 256 * 1024
/** By then, what is shared is there: the places of open runs, their columns. */
const FROM_RUNS = RUNS * 0.5
/** 256 segments, 64 open runs at each of two destinations, and what the threads need. */
const DESCRIPTORS = 640

const offset = (url: string) => ({
  local: {},
  tensorboard: {},
  offset: { module: fileURLToPath(workerUrl('../sinks/fakes/offset-sink', import.meta.url)), url },
})

function ordersOf(context: TestContext, url: string, rest: Partial<ManyRuns>): ManyRuns {
  const dir = temporaryFolder(context)
  const looks = [RUNS * 0.25, FROM_RUNS, RUNS]
  return {
    dir,
    backend: offset(url),
    looks,
    awaitsDelivery: true,
    idleMs: 3000,
    end: 'finish',
    deadlineMs: 90_000,
    ...rest,
  }
}

async function play(context: TestContext, orders: ManyRuns, limit?: number) {
  const { lines, code, stderr } = await tellOf<ManyRunsLook & ManyRunsEnd>('many-runs', orders, limit)
  assert.equal(code, 0, stderr)
  const end = lines.at(-1)! as ManyRunsEnd
  const looks = lines.slice(0, orders.looks.length) as ManyRunsLook[]
  for (const { runs, rssBytes, descriptors, threads, startMs } of looks)
    context.diagnostic(
      `${runs} runs: ${(rssBytes / 2 ** 20).toFixed(0)} MiB, ${descriptors} descriptors, ${threads} threads, ${startMs.toFixed(1)} ms a start`,
    )
  return { looks, end, stderr }
}

function assertJournaled(dir: string, states: readonly string[]): void {
  for (let i = 0; i < RUNS; i++) {
    const run = openRun(join(dir, 'default', `run-${i}`))
    const { value } = run.history('a')
    assert.deepEqual(
      Array.from(value, (one) => one - i),
      [0, 1, 2, 3, 4, 5],
      `run-${i}`,
    )
    assert.equal(run.history('b').value.length, POINTS_PER_RUN / 2)
    assert.deepEqual(run.params(), { number: i })
    assert.ok(states.includes(run.state().state), `run-${i} is ${run.state().state}`)
  }
}

test(`${RUNS} runs at once: bounded memory and descriptors, little to do while idle, every point there once`, async (context) => {
  const server = await OffsetServer.start()
  context.after(() => server.stop())
  const orders = ordersOf(context, server.url, {})
  // the most that a shell gives where nothing else was asked for
  const { looks, end } = await play(context, orders, isLinux ? 1024 : undefined)
  const { idleCpu, finishMs } = end
  context.diagnostic(
    `idle ${(100 * idleCpu).toFixed(1)} % of a core, all finished in ${finishMs.toFixed(0)} ms`,
  )
  assert.deepEqual(end.broken, [])
  assert.equal(end.pending, 0)
  assertJournaled(orders.dir, ['finished'])
  assert.equal(server.runs.size, RUNS)
  for (let i = 0; i < RUNS; i++) {
    const points = server.points(`run-${i}`)
    assert.equal(points.length, POINTS_PER_RUN, `run-${i} at the fake`)
    assert.equal(new Set(points.map(({ key, step }) => `${key} ${step}`)).size, POINTS_PER_RUN)
    assert.equal(server.runs.get(`run-${i}`)!.outcome, 'finished')
  }
  assert.deepEqual([server.gaps, server.conflicts], [0, 0])

  const [few, some, all] = looks as [ManyRunsLook, ManyRunsLook, ManyRunsLook]
  assert.ok(all.startMs < 10 * few.startMs + 20, `a start takes ${few.startMs} ms, then ${all.startMs} ms`)
  assert.ok(idleCpu < 0.25, `${idleCpu} of a core while idle`)
  if (!isLinux) return
  const bytesPerRun = (all.rssBytes - some.rssBytes) / (all.runs - some.runs)
  context.diagnostic(`${(bytesPerRun / 1024).toFixed(0)} KiB a run`)
  assert.ok(bytesPerRun <= BYTES_PER_RUN, `${bytesPerRun} bytes a run`)
  assert.ok(all.descriptors <= DESCRIPTORS, `${all.descriptors} descriptors`)
  assert.equal(all.threads, few.threads)
})

test(`${RUNS} runs at once to a backend that is dead: as cheap, all journaled, and finish() ends in time`, async (context) => {
  const deadlineMs = 3000
  const orders = ordersOf(context, 'http://127.0.0.1:1', { awaitsDelivery: false, deadlineMs })
  const { looks, end } = await play(context, orders)
  assert.deepEqual(end.broken, [])
  assert.ok(end.pending >= RUNS * POINTS_PER_RUN, `${end.pending} are pending`)
  assert.ok(end.finishMs < deadlineMs + 15_000, `finish() took ${end.finishMs} ms`)
  assertJournaled(orders.dir, ['finished'])
  if (isLinux) assert.ok(looks.at(-1)!.descriptors <= DESCRIPTORS)
})

test(`the process exits with ${RUNS} runs open: in time, and everything is journaled`, async (context) => {
  const orders = ordersOf(context, 'http://127.0.0.1:1', {
    looks: [RUNS],
    awaitsDelivery: false,
    end: 'exit',
  })
  const { code, ms, lines, stderr } = await tellOf<ManyRunsLook>('many-runs', orders)
  context.diagnostic(`${ms.toFixed(0)} ms in all`)
  assert.equal(code, 0, stderr)
  assert.equal(lines.length, 1)
  assertJournaled(orders.dir, ['finished'])
})
