import type { Batch, RunInfo, Series } from '../../../src/core/types.ts'

export interface TestPoint {
  readonly name: string
  readonly context?: string
  readonly step: number
  readonly time: number
  readonly value: number
}

/** A series keeps its number for as long as the test runs, as it does within a run. */
const series: Series[] = []
const ids = new Map<string, number>()

function idOf(name: string, context: string): number {
  const owner = JSON.stringify([name, context])
  let id = ids.get(owner)
  if (id === undefined) {
    id = series.length
    series.push({ id, name, context })
    ids.set(owner, id)
  }
  return id
}

/** A batch as the pipeline gives it. */
export function batchOf(points: readonly TestPoint[], seq = 0): Batch {
  return {
    seq,
    length: points.length,
    series: Uint32Array.from(points, ({ name, context = '' }) => idOf(name, context)),
    step: Float64Array.from(points, ({ step }) => step),
    time: Float64Array.from(points, ({ time }) => time),
    value: Float64Array.from(points, ({ value }) => value),
    describe: (id) => series[id]!,
  }
}

let runs = 0

export function runInfo(more: Partial<RunInfo> = {}): RunInfo {
  const number = `${Date.now().toString(36)}-${++runs}`
  return {
    id: `run-${number}`,
    name: `run ${number}`,
    project: 'vision',
    experiment: 'resnet',
    createdAt: 1795420526750,
    nonce: `nonce-${number}`,
    folder: '/nowhere',
    ...more,
  }
}
