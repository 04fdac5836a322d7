/** Values, or bins that somebody else has counted, as the bins that a histogram record holds. */
import type { ErrorRecord } from '../../core/errors.ts'
import { isErrorRecord, refused, toNumbers } from './numbers.ts'

export const DEFAULT_BINS = 64
/** Screens show no more; a record of so many takes 8 KiB. */
export const MAX_BINS = 512
/** Room for the widest bins that are in use: the 1,548 of TensorFlow and PyTorch (`bins='tensorflow'`). */
export const MAX_GIVEN_BINS = 4096

/** A bin narrower than so many units in the last place of its edges could not be told from its neighbours. */
const ULPS_PER_BIN = 4
const SMALLEST_NORMAL = 2 ** -1022

export type HistogramInput =
  | ArrayLike<number>
  | Iterable<number>
  /** n + 1 ascending edges and the counts between them. */
  | {
      readonly edges: ArrayLike<number>
      readonly counts: ArrayLike<number>
      /** Of the values that were counted and of their squares, where known: both or none. */
      readonly sum?: number
      readonly sumSquares?: number
    }

export interface Histogram {
  readonly edges: Float64Array
  readonly counts: Float64Array
  /** Of the values and of their squares; absent where only edges and counts were given. */
  readonly sum?: number
  readonly sumSquares?: number
}

/**
 * Bins as `numpy.histogram(values, bins)` makes them: equally wide from the least value to the greatest, each with
 * its left edge, the last one with its right edge too; ±0.5 around values that are all the same. Where doubles
 * cannot tell so narrow bins apart the range is widened around its middle until they can.
 *
 * NaN and ±Infinity fall into no bin and no sum; `report` is told how many there were.
 *
 * @param bins of values, 1 to 512; given bins stay as they are, at most 4,096
 * @returns ERR_VALUE where there is no finite value, where something is no number, or where given bins do not fit
 */
export function toHistogram(
  values: HistogramInput,
  bins = DEFAULT_BINS,
  report: (issue: ErrorRecord) => void = () => {},
): Histogram | ErrorRecord {
  if (isBins(values)) return givenBins(values)
  if (!Number.isInteger(bins) || bins < 1 || bins > MAX_BINS) {
    return refused(`a histogram has 1 to ${MAX_BINS} bins, not ${String(bins)}`)
  }
  const numbers = toNumbers(values, 'the values of a histogram')
  return isErrorRecord(numbers) ? numbers : ofValues(numbers, bins, report)
}

type GivenBins = { readonly [key in 'edges' | 'counts' | 'sum' | 'sumSquares']?: unknown }

function isBins(values: unknown): values is GivenBins {
  return typeof values === 'object' && values !== null && 'edges' in values && 'counts' in values
}

function givenBins(given: GivenBins): Histogram | ErrorRecord {
  const edges = copied(given.edges, 'the edges of a histogram')
  const counts = copied(given.counts, 'the counts of a histogram')
  if (isErrorRecord(edges)) return edges
  if (isErrorRecord(counts)) return counts
  if (counts.length < 1 || counts.length > MAX_GIVEN_BINS) {
    return refused(`a histogram has 1 to ${MAX_GIVEN_BINS} bins, not ${counts.length}`)
  }
  if (edges.length !== counts.length + 1) {
    return refused(`${counts.length} counts stand between ${counts.length + 1} edges, not ${edges.length}`)
  }
  // By the negated comparison, so that NaN is refused too.
  const broken = edges.findIndex(
    (edge, index) => !Number.isFinite(edge) || !(index === 0 || edge > edges[index - 1]!),
  )
  if (broken >= 0) return refused(`edges must be finite and ascend, but edge ${broken} is ${edges[broken]}`)
  const negative = counts.findIndex((count) => !(count >= 0 && count < Infinity))
  if (negative >= 0)
    return refused(`counts must be finite and not negative, but count ${negative} is ${counts[negative]}`)
  const { sum, sumSquares } = given
  if (sum === undefined && sumSquares === undefined) return { edges, counts }
  if (typeof sum === 'number' && typeof sumSquares === 'number') return { edges, counts, sum, sumSquares }
  return refused('sum and sumSquares of a histogram are both numbers, or both absent')
}

function copied(given: unknown, what: string): Float64Array | ErrorRecord {
  const numbers = toNumbers(given, what)
  return isErrorRecord(numbers) ? numbers : Float64Array.from(numbers)
}

function ofValues(
  values: ArrayLike<number>,
  bins: number,
  report: (issue: ErrorRecord) => void,
): Histogram | ErrorRecord {
  const { length } = values
  let least = Infinity
  let greatest = -Infinity
  let sum = 0
  let sumSquares = 0
  let binned = 0
  for (let index = 0; index < length; index++) {
    const value = values[index]!
    // Infinite or not a number: their difference to themselves is not 0.
    if (value - value !== 0) continue
    if (value < least) least = value
    if (value > greatest) greatest = value
    sum += value
    sumSquares += value * value
    binned++
  }
  if (binned === 0) {
    return refused(
      length === 0 ? 'a histogram of no values' : `none of the ${length} values of a histogram is finite`,
    )
  }
  if (binned < length) {
    const message = `${length - binned} of the ${length} values of a histogram are NaN or infinite and in no bin`
    report(refused(message))
  }
  const [first, last] = rangeOf(least, greatest, bins)
  const edges = edgesOf(first, last, bins)
  return { edges, counts: count(values, edges), sum, sumSquares }
}

/** The outer edges: least and greatest value, or more where that leaves no room for the bins. */
function rangeOf(least: number, greatest: number, bins: number): readonly [first: number, last: number] {
  const magnitude = Math.max(-least, greatest, SMALLEST_NORMAL / Number.EPSILON)
  const narrowest = bins * ULPS_PER_BIN * Number.EPSILON * magnitude
  const width = greatest - least
  const needed = width === 0 ? Math.max(1, narrowest) : narrowest
  if (width >= needed) return [least, greatest]
  const middle = least + width / 2
  return [Math.max(-Number.MAX_VALUE, middle - needed / 2), Math.min(Number.MAX_VALUE, middle + needed / 2)]
}

function edgesOf(first: number, last: number, bins: number): Float64Array {
  const edges = new Float64Array(bins + 1)
  // Halves, so that the width of the widest range is finite.
  const half = last / 2 - first / 2
  const width = last - first
  for (let index = 0; index < bins; index++) {
    edges[index] =
      width < Infinity
        ? first + index * (width / bins)
        : first + index * (half / bins) + index * (half / bins)
  }
  edges[bins] = last
  return edges
}

/** numpy's rule: the bin by a division, set right by one where rounding has missed the edge. */
function count(values: ArrayLike<number>, edges: Float64Array): Float64Array {
  const bins = edges.length - 1
  const counts = new Float64Array(bins)
  const first = edges[0]!
  const width = edges[bins]! - first
  const scale = width < Infinity ? 1 : 0.5
  const denominator = width < Infinity ? width : edges[bins]! / 2 - first / 2
  const { length } = values
  for (let index = 0; index < length; index++) {
    const value = values[index]!
    if (value - value !== 0) continue
    let bin = Math.trunc(((value * scale - first * scale) / denominator) * bins)
    if (bin >= bins) bin = bins - 1
    if (value < edges[bin]!) bin--
    else if (value >= edges[bin + 1]! && bin !== bins - 1) bin++
    counts[bin]!++
  }
  return counts
}
