/** Labels and predictions as the counts that a precision-recall curve is drawn from. */
import type { ErrorRecord } from '../../core/errors.ts'
import { isErrorRecord, refused, toNumbers } from './numbers.ts'

/** As in PyTorch's `add_pr_curve`. */
export const DEFAULT_THRESHOLDS = 127
export const MAX_THRESHOLDS = 4096

export interface PrCurve {
  /** Each of one length: the counts, or sums of weights, at thresholds evenly from 0 to 1. */
  readonly truePositives: Float64Array
  readonly falsePositives: Float64Array
  readonly trueNegatives: Float64Array
  readonly falseNegatives: Float64Array
}

/** A curve that was counted elsewhere: four arrays of one length, finite and not negative. */
export interface PrCurveCounts {
  readonly truePositives: ArrayLike<number>
  readonly falsePositives: ArrayLike<number>
  readonly trueNegatives: ArrayLike<number>
  readonly falseNegatives: ArrayLike<number>
}

/**
 * TensorBoard's own formula (`tensorboard/plugins/pr_curve/summary.py`): a prediction p is counted at the thresholds
 * t₀ … tᵢ with i = ⌊p · (thresholds − 1)⌋, the product in the precision of the predictions: float32 for a
 * Float32Array. Predictions beyond 0 and 1 count as 0 and 1; those that are NaN count nowhere and `report` is told
 * how many there were.
 *
 * @param labels true or 1, false or 0; or the counts themselves, which are then copied as they are
 * @param predictions one for each label, in [0, 1]
 * @param thresholds 2 to 4,096
 * @param weights one for each label, or one for all; finite, not negative; default 1
 * @returns ERR_VALUE where lengths differ, where there is nothing to count, or for values beyond the above
 */
export function toPrCurve(
  labels: ArrayLike<number | boolean> | Iterable<number | boolean> | PrCurveCounts,
  predictions: ArrayLike<number> | Iterable<number>,
  thresholds = DEFAULT_THRESHOLDS,
  weights: ArrayLike<number> | Iterable<number> | number = 1,
  report: (issue: ErrorRecord) => void = () => {},
): PrCurve | ErrorRecord {
  if (isCounts(labels)) return givenCounts(labels)
  if (!Number.isInteger(thresholds) || thresholds < 2 || thresholds > MAX_THRESHOLDS) {
    return refused(`a PR curve has 2 to ${MAX_THRESHOLDS} thresholds, not ${String(thresholds)}`)
  }
  const truths = toNumbers(labels, 'the labels of a PR curve')
  const scores = toNumbers(predictions, 'the predictions of a PR curve')
  const given = typeof weights === 'number' ? [weights] : toNumbers(weights, 'the weights of a PR curve')
  if (isErrorRecord(truths)) return truths
  if (isErrorRecord(scores)) return scores
  if (isErrorRecord(given)) return given
  const issue = misfit(truths, scores, given, typeof weights === 'number')
  if (issue !== undefined) return refused(issue)

  const truePositives = new Float64Array(thresholds)
  const falsePositives = new Float64Array(thresholds)
  const precise = predictions instanceof Float32Array ? Math.fround : (value: number) => value
  let unplaced = 0
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index]!
    if (Number.isNaN(score)) {
      unplaced++
      continue
    }
    const bucket = Math.floor(precise(Math.min(1, Math.max(0, score)) * (thresholds - 1)))
    const weight = given.length === 1 ? given[0]! : given[index]!
    const counts = truths[index] === 1 ? truePositives : falsePositives
    counts[bucket]! += weight
  }
  if (unplaced === scores.length) return refused('all predictions of a PR curve are NaN')
  if (unplaced > 0) report(refused(`${unplaced} of the ${scores.length} predictions of a PR curve are NaN`))
  sumFromTheEnd(truePositives)
  sumFromTheEnd(falsePositives)
  return {
    truePositives,
    falsePositives,
    trueNegatives: falsePositives.map((count) => falsePositives[0]! - count),
    falseNegatives: truePositives.map((count) => truePositives[0]! - count),
  }
}

function isCounts(labels: unknown): labels is PrCurveCounts {
  return typeof labels === 'object' && labels !== null && 'truePositives' in labels
}

function givenCounts(given: PrCurveCounts): PrCurve | ErrorRecord {
  const counts: Float64Array[] = []
  for (const part of ['truePositives', 'falsePositives', 'trueNegatives', 'falseNegatives'] as const) {
    const numbers = toNumbers(given[part], `the ${part} of a PR curve`)
    if (isErrorRecord(numbers)) return numbers
    const bad = numbers.findIndex((count) => !(count >= 0 && count < Infinity))
    if (bad >= 0)
      return refused(`${part} must be finite and not negative, but number ${bad} is ${numbers[bad]}`)
    counts.push(Float64Array.from(numbers))
  }
  const [truePositives, falsePositives, trueNegatives, falseNegatives] = counts as FourArrays
  const { length } = truePositives
  if (counts.some((part) => part.length !== length)) {
    return refused(
      `the counts of a PR curve must be equally many, but are ${counts.map((part) => part.length)}`,
    )
  }
  if (length < 2 || length > MAX_THRESHOLDS) {
    return refused(`a PR curve has 2 to ${MAX_THRESHOLDS} thresholds, not ${length}`)
  }
  return { truePositives, falsePositives, trueNegatives, falseNegatives }
}
type FourArrays = [Float64Array, Float64Array, Float64Array, Float64Array]

/** What does not fit together, if anything. */
function misfit(
  truths: ArrayLike<number>,
  scores: ArrayLike<number>,
  weights: ArrayLike<number>,
  isOneForAll: boolean,
): string | undefined {
  const { length } = truths
  if (length === 0) return 'a PR curve of no labels'
  if (scores.length !== length) return `${length} labels need as many predictions, not ${scores.length}`
  if (!isOneForAll && weights.length !== length)
    return `${length} labels need as many weights, not ${weights.length}`
  for (let index = 0; index < length; index++) {
    const label = truths[index]!
    if (label !== 0 && label !== 1) return `labels are true, false, 1 or 0, but label ${index} is ${label}`
  }
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index]!
    if (!(weight >= 0 && weight < Infinity)) {
      return `weights must be finite and not negative, but weight ${index} is ${weight}`
    }
  }
  return undefined
}

function sumFromTheEnd(counts: Float64Array): void {
  for (let index = counts.length - 2; index >= 0; index--) counts[index]! += counts[index + 1]!
}
