/** Histograms as `aim.distribution` (aim/sdk/objects/distribution.py): counts in bins of one width. */
import type { RunRecord } from '../../core/types.ts'
import { AimBlob, AimCustom } from './tree.ts'

type Histogram = Extract<RunRecord, { kind: 'histogram' }>

/** Aim's own. */
const MAX_BINS = 512
/** Of the whole range: a width that differs by less was meant to be the same. */
const TOLERANCE = 1e-6

/** @param onSpread bins were not of one width, or too many: their counts have been spread over others */
export function distributionObject({ edges, counts }: Histogram, onSpread: () => void): AimCustom {
  const [low, high] = [edges[0]!, edges[edges.length - 1]!]
  let bins = counts
  if (counts.length > MAX_BINS || !isEven(edges)) {
    onSpread()
    bins = spread(edges, counts, Math.min(MAX_BINS, Math.max(64, counts.length)))
  }
  const data = Buffer.alloc(bins.length * 8)
  for (const [at, count] of bins.entries()) data.writeDoubleLE(count, at * 8)
  return new AimCustom('aim.distribution', {
    data: new AimBlob(data),
    dtype: 'float64',
    range: [low, high],
    bin_count: BigInt(bins.length),
  })
}

function isEven(edges: Float64Array): boolean {
  const range = edges[edges.length - 1]! - edges[0]!
  const width = range / (edges.length - 1)
  return edges.every((edge, at) => Math.abs(edge - (edges[0]! + at * width)) <= TOLERANCE * range)
}

/** Each bin's count over the even bins that it covers, in their proportion: the sum stays. */
function spread(edges: Float64Array, counts: Float64Array, into: number): Float64Array {
  const even = new Float64Array(into)
  const low = edges[0]!
  const range = edges[edges.length - 1]! - low
  const placeOf = (edge: number) => ((edge - low) / range) * into
  for (const [at, count] of counts.entries()) {
    const [from, to] = [placeOf(edges[at]!), placeOf(edges[at + 1]!)]
    const first = Math.min(into - 1, Math.floor(from))
    for (let bin = first; bin < into && (bin < to || bin === first); bin++) {
      const covered = Math.min(bin + 1, to) - Math.max(bin, from)
      even[bin]! += to > from ? (count * covered) / (to - from) : count
    }
  }
  return even
}
