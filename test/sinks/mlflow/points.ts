import type { Batch, RunInfo, Series } from '../../../src/core/types.ts'

export interface TestPoint {
  readonly name: string
  readonly context?: string
  readonly step: number
  readonly time: number
  readonly value: number
}

/** A batch as the pipeline gives it; series numbered in order of appearance. */
export function batchOf(points: readonly TestPoint[], seq = 0): Batch {
  const series: Series[] = []
  const ids = points.map(({ name, context = '' }) => {
    const known = series.find((one) => one.name === name && one.context === context)
    if (known) return known.id
    series.push({ id: series.length, name, context })
    return series.length - 1
  })
  return {
    seq,
    length: points.length,
    series: Uint32Array.from(ids),
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
