/** Where a point of a plot lies from left to right: at its step, or at the value that another series had by then. */
import type { Series } from '../../core/types.ts'
import type { SeriesSummary, StoredRun } from '../../index.ts'

export interface Axis {
  /** Of the other series; undefined for steps. */
  readonly name: string | undefined
  /** Undefined before the other series had a value. */
  at(step: number): number | undefined
}
export const STEPS: Axis = { name: undefined, at: (step) => step }

/** As `defineMetric` said; an axis is looked for in the series' own context first, and one without points is none. */
export function axesOf(run: StoredRun, summaries: readonly SeriesSummary[]): (series: Series) => Axis {
  const read = new Map<string, Axis>()
  return ({ name, context }) => {
    const series = summaries.find((one) => one.name === name && one.context === context)
    const axis = series?.axis
    if (axis === undefined || axis === name) return STEPS
    const lies = summaries.some((one) => one.name === axis && one.context === context) ? context : ''
    const key = `${axis}\n${lies}`
    const known = read.get(key) ?? seriesAxis(axis, run.history(axis, lies))
    read.set(key, known)
    return known
  }
}

/** @param history in the order of logging */
export function seriesAxis(
  name: string,
  { step, value }: { readonly step: Float64Array; readonly value: Float64Array },
): Axis {
  // of one step logged twice the later value stands last
  const order = Uint32Array.from(step.keys())
    .filter((at) => Number.isFinite(value[at]))
    .sort((a, b) => step[a]! - step[b]! || a - b)
  if (order.length === 0) return STEPS
  return {
    name,
    at(wanted) {
      let [low, high] = [0, order.length]
      while (low < high) {
        const middle = (low + high) >>> 1
        if (step[order[middle]!]! <= wanted) low = middle + 1
        else high = middle
      }
      return low === 0 ? undefined : value[order[low - 1]!]
    },
  }
}
