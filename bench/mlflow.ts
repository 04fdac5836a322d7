/** What does delivery to MLflow cost: us, and the server? */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startLogging } from '../src/index.ts'
import { workerUrl } from '../src/pipeline/worker-url.ts'
import { startMlflowServer } from '../test/peers/mlflow-server.ts'
import { preparePython } from '../test/peers/python.ts'
import { readRuns } from '../test/peers/read-mlflow.ts'
import { compareServerCost, type ServerCost } from '../test/peers/server-cost.ts'
import { busyShare, WatchingProxy } from '../test/peers/watching-proxy.ts'
import type { Bench, Question } from './harness.ts'
import type { FromStub, ToStub } from './mlflow-stub.ts'
import { median } from './statistics.ts'

const KEYS = Array.from({ length: 10 }, (_, i) => `train/metric ${i}`)
const EXPERIMENT = 'bench'
/** MLflow's own default. */
const WORKERS = 4

export const mlflow: Question = {
  name: 'mlflow',
  title: 'What delivery to MLflow costs, us and the server',
  method: [
    'A real `mlflow server` (4 workers, SQLite) gets the same points in turns from tracelet and from plain loops of full `log-batch` requests (100 keys × 10 steps, undici, one connection or two as tracelet has), each into a run of its own. Server CPU is user and system time of all its processes.',
    'tracelet reaches the server through a proxy that notes when each request was under way and how full it was. Busy: the share of the time from the first to the last request of a round, during which there is backlog, in which at least one was under way.',
    'Our own cost: points are journaled while a server that answers at once, in a process of its own, holds its first answer; then it lets go. CPU of our whole process until all is delivered, by the points.',
    'Every point is counted: at the stub, and in MLflow by its own client.',
  ],
  bounds: [
    'The server: nearly all the time is its own, most of that SQL in Python. A client can only send full requests, and two at once so that it has work while an answer travels.',
    'Our own time goes into numbers becoming text and into writing the socket.',
  ],
  async run(bench) {
    await ownCost(bench)
    // a real server takes longer to start than a quick bench may last
    if (!bench.quick) await serverCost(bench)
  },
}

async function ownCost(bench: Bench): Promise<void> {
  const points = bench.either(20_000, 500_000)
  const cpu: number[] = []
  const rate: number[] = []
  const fill: number[] = []
  for (let round = 0; round < bench.either(1, 10); round++) {
    const found = await deliverBacklog(bench, points)
    cpu.push(found.cpuUs)
    rate.push(found.pointsPerSecond / 1000)
    fill.push(found.fullShare * 100)
  }
  const table = 'to a server that answers at once'
  bench.samples(table, 'our CPU a point', 'µs', cpu)
  bench.samples(table, 'delivered', 'thousand points/s', rate)
  bench.samples(table, 'full requests', '%', fill)
  bench.goal('our CPU a point', median(cpu), { atMost: 5 }, 'µs')
}

async function deliverBacklog(bench: Bench, points: number) {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-bench-'))
  const stub = fork(fileURLToPath(workerUrl('./mlflow-stub', import.meta.url)))
  try {
    const { port } = (await once(stub, 'message'))[0] as Extract<FromStub, { port: number }>
    const uri = `http://127.0.0.1:${port}`
    const run = startLogging({ backend: { mlflow: { uri } }, dir, expName: EXPERIMENT })
    for (let step = 0; step < points / KEYS.length; step++)
      run.log(Object.fromEntries(KEYS.map((key) => [key, Math.random()])), { step })
    await run.flush()
    const cpuBefore = process.cpuUsage()
    const began = performance.now()
    stub.send('go' satisfies ToStub)
    while (run.stats().destinations.mlflow!.delivered < points) await sleep(10)
    const elapsedMs = performance.now() - began
    const { user, system } = process.cpuUsage(cpuBefore)
    const stats = await run.finish()
    const counted = await countOf(stub)
    bench.law('to the stub', {
      logged: points,
      delivered: stats.destinations.mlflow!.delivered,
      received: counted.points,
    })
    return {
      cpuUs: (user + system) / points,
      pointsPerSecond: (1000 * points) / elapsedMs,
      fullShare: (counted.full * 1000) / points,
    }
  } finally {
    stub.disconnect()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function countOf(stub: ChildProcess) {
  stub.send('count' satisfies ToStub)
  return (await once(stub, 'message'))[0] as Extract<FromStub, { points: number }>
}

async function serverCost(bench: Bench): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-bench-'))
  const python = await preparePython()
  const server = await startMlflowServer(python, { workers: WORKERS })
  const proxy = await WatchingProxy.start(server.port)
  try {
    const requests = 10
    const rounds = 20
    const plan = { dir, experiment: EXPERIMENT, rounds, requests, connections: [1, 2] }
    const { ours, raw, points, runId } = await compareServerCost(server, proxy.uri, plan)
    const [seen] = await readRuns(python, server.uri, {
      experiment: EXPERIMENT,
      tag: 'tracelet.run_id',
      values: [runId],
    })
    const stored = Object.values(seen!.history).reduce((sum, history) => sum + history.length, 0)
    bench.law('to the real server', { logged: points, stored })

    const batches = proxy.of(seen!.runId)
    const busy = Array.from({ length: rounds }, (_, round) =>
      busyShare(batches.slice(round * requests, (round + 1) * requests)),
    )
    const contestants: [name: string, cost: ServerCost][] = [['tracelet', ours]]
    for (const [count, cost] of raw) contestants.push([`plain loop, connections: ${count}`, cost])
    for (const [name, { cpuUs }] of contestants) bench.samples('server CPU a point', name, 'µs', cpuUs)
    for (const [name, { pointsPerSecond }] of contestants)
      bench.samples('into a real server', name, 'points/s', pointsPerSecond)
    const table = 'requests of tracelet'
    const busyPercent = bench.samples(
      table,
      'busy',
      '%',
      busy.map((share) => share * 100),
    )
    const fill = bench.samples(
      table,
      'points a request',
      'points',
      batches.map((batch) => batch.points),
    )
    const ratio = median(ours.cpuUs) / median(raw.get(1)!.cpuUs)
    bench.goal('server CPU a point, against a plain loop on one connection', ratio, { atMost: 1.05 }, '×')
    bench.goal('a request under way while there is backlog', busyPercent.median, { atLeast: 95 }, '%')
    bench.goal('points a request', fill.median, { atLeast: 950 }, 'points')
  } finally {
    await proxy.stop()
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}
