/** Runs as MLflow's own client reads them. */
import type { StoredPoint } from '../sinks/harness.ts'
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

export interface RunQuery {
  readonly experiment: string
  readonly tag: 'tracelet.run_id' | 'tracelet.nonce'
  readonly values: readonly string[]
  /** For the client, such as the certificates it trusts. */
  readonly env?: Readonly<Record<string, string>>
}

/** The runs that have the tag with one of the values, in the order of the values. */
export async function readRuns(python: string, uri: string, query: RunQuery): Promise<SeenRun[]> {
  const { experiment, tag, values, env = {} } = query
  return (await runPeerScript(python, 'read_mlflow.py', [uri, experiment, tag, ...values], env)) as SeenRun[]
}

/** A point as `SeenRun` shows it: MLflow has no negative zero and whole milliseconds. */
export function seenPoint(step: number, time: number, value: number): SeenPoint {
  return [step, Math.floor(time), bitsOf(value + 0)]
}

export function bitsOf(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}

/** In the order of steps away from 0: MLflow gives them in the order of their times. */
export function pointsOf({ history }: SeenRun): StoredPoint[] {
  const points = Object.entries(history).flatMap(([key, all]) =>
    all.map(([step, time, bits]) => ({ key, step, time, value: Buffer.from(bits, 'hex').readDoubleBE() })),
  )
  return points.sort((a, b) => Math.abs(a.step) - Math.abs(b.step))
}
