/** Runs as MLflow's own client reads them. */
import { runPeerScript } from './python.ts'

export interface SeenRun {
  readonly runId: string
  readonly name: string
  readonly status: string
  readonly startTime: number
  readonly endTime: number | null
  readonly params: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
  readonly history: Readonly<Record<string, readonly SeenPoint[]>>
}
export type SeenPoint = readonly [step: number, timestamp: number, bits: string]

/** Runs of our ids, in that order. */
export async function readRuns(
  python: string,
  uri: string,
  experiment: string,
  ...ids: readonly string[]
): Promise<SeenRun[]> {
  const args = [uri, experiment, 'tracelet.run_id', ...ids]
  return (await runPeerScript(python, 'read_mlflow.py', args)) as SeenRun[]
}

/** A point as `SeenRun` shows it: MLflow has no negative zero and whole milliseconds. */
export function seenPoint(step: number, time: number, value: number): SeenPoint {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value + 0)
  return [step, Math.floor(time), bytes.toString('hex')]
}
