/** PR curves: a float32 tensor [6, n] of the counts at n thresholds and the precision and recall they give. */

import { stringField, varintField } from '../protobuf.ts'
import { DATA_CLASS_TENSOR, DT_FLOAT, pluginMetadata, tensorField } from './messages.ts'

/** TensorBoard's own guard against a division by 0. */
const MINIMUM_COUNT = 1e-7
/** The plugin's answer fails for an infinity. */
const FLOAT32_MAX = 3.4028234663852886e38

export interface Curve {
  readonly truePositives: Float64Array
  readonly falsePositives: Float64Array
  readonly trueNegatives: Float64Array
  readonly falseNegatives: Float64Array
}

export function prCurveValue(tag: string, curve: Curve): Uint8Array {
  const { truePositives, falsePositives, trueNegatives, falseNegatives } = curve
  const thresholds = truePositives.length
  const shareOf = (others: Float64Array) =>
    truePositives.map((count, at) => count / Math.max(MINIMUM_COUNT, count + others[at]!))
  const rows = [
    truePositives,
    falsePositives,
    trueNegatives,
    falseNegatives,
    shareOf(falsePositives),
    shareOf(falseNegatives),
  ]
  const values = new Float32Array(rows.length * thresholds)
  for (const [row, counts] of rows.entries()) {
    for (let at = 0; at < thresholds; at++) values[row * thresholds + at] = Math.min(counts[at]!, FLOAT32_MAX)
  }
  return Buffer.concat([
    stringField(1, tag),
    tensorField(DT_FLOAT, [rows.length, thresholds], values),
    pluginMetadata('pr_curves', DATA_CLASS_TENSOR, varintField(2, thresholds)),
  ])
}
