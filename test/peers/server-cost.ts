/**
 * What the same points cost an MLflow server when tracelet sends them and when a plain loop of full requests does,
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
  readonly raw: ServerCost
  /** Points of all rounds, of each of the two. */
  readonly points: number
  /** Our id of the run. */
  readonly runId: string
}

const GIVE_UP_MS = 60_000

/** @param uri address at which tracelet finds the server, perhaps through a proxy */
export async function compareServerCost(
  server: MlflowServer,
  uri: string,
  {
    dir,
    experiment,
    rounds,
    requests,
  }: { dir: string; experiment: string; rounds: number; requests: number },
): Promise<ComparedCost> {
  const points = requests * POINTS_PER_REQUEST
  const costs = { ours: emptyCost(), raw: emptyCost() }
  const loop = await RawLoop.open(server.uri)
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
      const turns = [() => measure(costs.raw, () => loop.log(requests)), () => measure(costs.ours, logRows)]
      if (round % 2 === 1) turns.reverse()
      for (const turn of turns) await turn()
    }
  } finally {
    await run.finish()
    await loop.close()
  }
  return { ...costs, points: logged, runId: run.id }
}

function emptyCost(): ServerCost {
  return { cpuUs: [], pointsPerSecond: [] }
}
