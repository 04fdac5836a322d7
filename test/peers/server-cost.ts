/**
 * What the same points cost an MLflow server when tracelet sends them and when plain loops of full requests do,
 * in turns, each to a run of its own that is opened before.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import type { MlflowServer } from './mlflow-server.ts'
import { POINTS_PER_REQUEST, RAW_KEYS, RawLoop } from './raw-mlflow.ts'

export interface ServerCost {
  /** Server CPU in µs a point, by round. */
  readonly cpuUs: number[]
  readonly pointsPerSecond: number[]
}

export interface ComparedCost {
  readonly ours: ServerCost
  /** Of plain loops, by how many connections they use. */
  readonly raw: ReadonlyMap<number, ServerCost>
  /** Points of all rounds, of each of the two. */
  readonly points: number
  /** Our id of the run. */
  readonly runId: string
}

export interface CostPlan {
  /** Root folder of our run. */
  readonly dir: string
  readonly experiment: string
  readonly rounds: number
  /** Full requests of each in a round. */
  readonly requests: number
  /** A plain loop for each number of connections. */
  readonly connections: readonly number[]
}

const GIVE_UP_MS = 60_000

/** @param uri address at which tracelet finds the server, perhaps through a proxy */
export async function compareServerCost(
  server: MlflowServer,
  uri: string,
  plan: CostPlan,
): Promise<ComparedCost> {
  const { dir, experiment, rounds, requests, connections } = plan
  const points = requests * POINTS_PER_REQUEST
  const ours = emptyCost()
  const raw = new Map(connections.map((count) => [count, emptyCost()]))
  const loops = await Promise.all(connections.map((count) => RawLoop.open(server.uri, count)))
  const run = startLogging({ backend: { mlflow: { uri } }, dir, expName: experiment })
  const until = async (what: string, isSo: () => boolean) => {
    const giveUpAt = performance.now() + GIVE_UP_MS
    for (; !isSo(); await sleep(5)) {
      if (performance.now() > giveUpAt) throw new Error(`not ${what}: ${JSON.stringify(run.stats())}`)
    }
  }
  let step = 0
  let logged = 0
  const logRows = async () => {
    for (let row = 0; row < points / RAW_KEYS.length; row++)
      run.log(Object.fromEntries(RAW_KEYS.map((key) => [key, Math.random()])), { step: step++ })
    logged += points
    await until('delivered', () => run.stats().destinations.mlflow!.delivered === logged)
  }
  const measure = async ({ cpuUs, pointsPerSecond }: ServerCost, work: () => Promise<void>) => {
    const cpuBefore = server.cpuSeconds()
    const began = performance.now()
    await work()
    pointsPerSecond.push((1000 * points) / (performance.now() - began))
    cpuUs.push(((server.cpuSeconds() - cpuBefore) * 1e6) / points)
  }
  try {
    await until('opened', () => run.stats().destinations.mlflow!.records.delivered > 0)
    for (let round = 0; round < rounds; round++) {
      const turns = [
        () => measure(ours, logRows),
        ...loops.map((loop, at) => () => measure(raw.get(connections[at]!)!, () => loop.log(requests))),
      ]
      if (round % 2 === 1) turns.reverse()
      for (const turn of turns) await turn()
    }
  } finally {
    await run.finish()
    for (const loop of loops) await loop.close()
  }
  return { ours, raw, points: logged, runId: run.id }
}

function emptyCost(): ServerCost {
  return { cpuUs: [], pointsPerSecond: [] }
}
