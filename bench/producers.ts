/** Producers that log as fast as they can, and know exactly what they logged. */
import type { AttachedRun, Metric, Run } from '../src/index.ts'
import type { LoggedSeries } from './journal-check.ts'

export type Shape = 'ten handles' | 'one handle' | 'log() of 10 keys'

export interface Flood {
  readonly points: number
  readonly seconds: number
  /** ns a point, of each stretch of POINTS_PER_STRETCH points; a full ring makes the producer wait in them. */
  readonly stretches: readonly number[]
}

const POINTS_PER_STRETCH = 10_000
const SERIES = 10

/** Series of one producer; its prefix keeps producers apart. */
export function seriesNames(shape: Shape, prefix: string): string[] {
  return Array.from({ length: shape === 'one handle' ? 1 : SERIES }, (_, i) => `${prefix}/${i}`)
}

/** Told again for the check: must be what the loops below log. */
export function loggedBy(shape: Shape, prefix: string, points: number): [string, LoggedSeries][] {
  const names = seriesNames(shape, prefix)
  return names.map((name, series) => [
    name,
    { count: points / names.length, firstStep: 0, valueAt: (step) => valueAt(step, series) },
  ])
}

function valueAt(step: number, series: number): number {
  return step * 0.25 + series
}

/** Logs for so many seconds; the count is the loop's own. */
export function flood(run: Run | AttachedRun, shape: Shape, prefix: string, seconds: number): Flood {
  const names = seriesNames(shape, prefix)
  const stretch =
    shape === 'one handle'
      ? oneHandle(run.metric(names[0]!))
      : shape === 'ten handles'
        ? tenHandles(names.map((name) => run.metric(name)))
        : rows(run, names)
  const stretches: number[] = []
  const begin = performance.now()
  const end = begin + seconds * 1000
  let now = begin
  let points = 0
  do {
    stretch(points)
    points += POINTS_PER_STRETCH
    const before = now
    now = performance.now()
    stretches.push(((now - before) * 1e6) / POINTS_PER_STRETCH)
  } while (now < end)
  return { points, seconds: (now - begin) / 1000, stretches }
}

function oneHandle(metric: Metric): (from: number) => void {
  return (from) => {
    for (let step = from; step < from + POINTS_PER_STRETCH; step++) metric.log(step, valueAt(step, 0))
  }
}

function tenHandles(metrics: readonly Metric[]): (from: number) => void {
  return (from) => {
    const first = from / SERIES
    for (let step = first; step < first + POINTS_PER_STRETCH / SERIES; step++) {
      for (let series = 0; series < SERIES; series++) metrics[series]!.log(step, valueAt(step, series))
    }
  }
}

function rows(run: Run | AttachedRun, names: readonly string[]): (from: number) => void {
  const row: Record<string, number> = Object.fromEntries(names.map((name) => [name, 0]))
  return (from) => {
    const first = from / SERIES
    for (let step = first; step < first + POINTS_PER_STRETCH / SERIES; step++) {
      for (let series = 0; series < SERIES; series++) row[names[series]!] = valueAt(step, series)
      run.log(row, { step })
    }
  }
}
