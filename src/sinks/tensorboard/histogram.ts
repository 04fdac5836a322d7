/**
 * Histograms. They are laid as `HistogramProto`, all doubles: `EventAccumulator.Histograms` and the tools on top of
 * it read nothing else, and TensorBoard makes the tensor of its Histograms tab from it on reading, with one of its
 * two loaders in float32. Where float32 could not tell the edges apart they are laid as that tensor at once, in
 * doubles, which the tab then shows and other readers find among the tensors.
 *
 * A bucket has only its right limit, the first one begins at `min`. Empty bins at both ends are left out, as in
 * TensorBoard's own writers: one of its loaders does that itself, the other would take them for buckets that end
 * before they begin.
 */

import { doubleField, doublesField, messageField, stringField } from '../protobuf.ts'
import { DATA_CLASS_TENSOR, DT_DOUBLE, pluginMetadata, tensorField } from './messages.ts'

export interface Bins {
  readonly edges: Float64Array
  readonly counts: Float64Array
  readonly sum?: number
  readonly sumSquares?: number
}

export function histogramValue(tag: string, bins: Bins): Uint8Array {
  return fitsFloat32(bins.edges) ? protoValue(tag, bins) : tensorValue(tag, bins)
}

function fitsFloat32(edges: Float64Array): boolean {
  const rounded = Float32Array.from(edges)
  return rounded.every((edge, index) => Number.isFinite(edge) && (index === 0 || edge > rounded[index - 1]!))
}

function protoValue(tag: string, bins: Bins): Uint8Array {
  const { sum, sumSquares } = bins.sum === undefined ? estimatedSums(bins) : bins
  const { edges, counts } = withoutEmptyEnds(bins)
  return Buffer.concat([
    stringField(1, tag),
    messageField(
      5,
      presentDouble(1, edges[0]!),
      presentDouble(2, edges.at(-1)!),
      presentDouble(
        3,
        counts.reduce((all, count) => all + count),
      ),
      presentDouble(4, sum!),
      presentDouble(5, sumSquares ?? 0),
      doublesField(6, edges.subarray(1)),
      doublesField(7, counts),
    ),
  ])
}

function withoutEmptyEnds({ edges, counts }: Bins): Bins {
  const first = counts.findIndex((count) => count > 0)
  const last = counts.findLastIndex((count) => count > 0)
  if (first < 0) return { edges, counts }
  return { edges: edges.subarray(first, last + 2), counts: counts.subarray(first, last + 1) }
}

/** Protocol Buffers leave out a 0. */
function presentDouble(field: number, value: number): Uint8Array {
  return Object.is(value, 0) ? new Uint8Array(0) : doubleField(field, value)
}

/** [k, 3]: left edge, right edge, count. */
function tensorValue(tag: string, { edges, counts }: Bins): Uint8Array {
  const rows = Float64Array.from({ length: counts.length * 3 }, (_, at) => {
    const bin = Math.floor(at / 3)
    return at % 3 === 2 ? counts[bin]! : edges[bin + (at % 3)]!
  })
  return Buffer.concat([
    stringField(1, tag),
    tensorField(DT_DOUBLE, [counts.length, 3], rows),
    pluginMetadata('histograms', DATA_CLASS_TENSOR),
  ])
}

/** As if all values of a bin stood in its middle: only bins were given. */
function estimatedSums({ edges, counts }: Bins): { readonly sum: number; readonly sumSquares: number } {
  let sum = 0
  let sumSquares = 0
  for (const [bin, count] of counts.entries()) {
    const middle = edges[bin]! / 2 + edges[bin + 1]! / 2
    sum += count * middle
    sumSquares += count * middle * middle
  }
  return { sum, sumSquares }
}
