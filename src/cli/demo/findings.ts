/** What the trained network gets wrong: confusion matrix, worst examples, one digit against the rest. Pure. */
import { CLASSES, FEATURES, type Samples, SIDE } from './data.ts'

/** Pixels as `run.logImage` takes them. */
export interface Pixels {
  readonly data: Uint8Array
  readonly shape: readonly number[]
  readonly caption?: string
}

export interface WorstExample {
  /** Index into the samples. */
  readonly index: number
  readonly label: number
  readonly predicted: number
  /** Of the predicted digit, and of the right one. */
  readonly confidence: number
  readonly probability: number
}

export interface Findings {
  /** Row: the digit that it is; column: the digit that was read; CLASSES × CLASSES counts. */
  readonly confusion: Uint32Array
  /** Those the network was surest of while wrong, worst first. */
  readonly worst: readonly WorstExample[]
}

/** @param probabilities of each class for each sample, sample after sample */
export function examine(samples: Samples, probabilities: Float64Array, maxWorst: number): Findings {
  const confusion = new Uint32Array(CLASSES * CLASSES)
  const wrong: WorstExample[] = []
  for (let index = 0; index < samples.length; index++) {
    const label = samples.labels[index]!
    const of = probabilities.subarray(index * CLASSES, (index + 1) * CLASSES)
    const confidence = Math.max(...of)
    const predicted = of.indexOf(confidence)
    confusion[label * CLASSES + predicted]!++
    if (predicted !== label) wrong.push({ index, label, predicted, confidence, probability: of[label]! })
  }
  wrong.sort((a, b) => b.confidence - a.confidence)
  return { confusion, worst: wrong.slice(0, maxWorst) }
}

/** Side of a matrix cell in the picture. */
const CELL = 24

/** The matrix as a picture: each row scaled by its sum, what is right in blue, what is wrong in red. */
export function confusionPixels(confusion: Uint32Array): Pixels {
  const side = CLASSES * CELL
  const data = new Uint8Array(side * side * 3)
  for (let y = 0; y < side; y++) {
    const label = Math.floor(y / CELL)
    const row = confusion.subarray(label * CLASSES, (label + 1) * CLASSES)
    const total = row.reduce((sum, count) => sum + count, 0)
    for (let x = 0; x < side; x++) {
      const predicted = Math.floor(x / CELL)
      // the square root, since a few mistakes in two hundred should be seen
      const shade = Math.round(255 * (1 - Math.sqrt(row[predicted]! / Math.max(1, total))))
      data.set(label === predicted ? [shade, shade, 255] : [255, shade, shade], (y * side + x) * 3)
    }
  }
  return { data, shape: [side, side, 3], caption: 'rows: the digit; columns: what was read' }
}

/** The same as a Plotly figure. */
export function confusionFigure(confusion: Uint32Array): { data: unknown[]; layout: object } {
  const digits = Array.from({ length: CLASSES }, (_, digit) => String(digit))
  const z = digits.map((_, row) => Array.from(confusion.subarray(row * CLASSES, (row + 1) * CLASSES)))
  const axis = (title: string) => ({ title: { text: title }, type: 'category' })
  return {
    data: [{ type: 'heatmap', x: digits, y: digits, z, colorscale: 'Blues' }],
    layout: { title: { text: 'digits' }, xaxis: axis('read as'), yaxis: axis('is') },
  }
}

/** A sample's picture, white on black, from its darkest to its brightest pixel. */
export function digitPixels(samples: Samples, { index, label, predicted }: WorstExample): Pixels {
  const features = samples.features.subarray(index * FEATURES, (index + 1) * FEATURES)
  const low = Math.min(...features)
  const high = Math.max(...features)
  const data = Uint8Array.from(features, (value) => Math.round(((value - low) / (high - low || 1)) * 255))
  return { data, shape: [SIDE, SIDE], caption: `${label} read as ${predicted}` }
}

export function worstTable(worst: readonly WorstExample[]): { columns: string[]; data: unknown[][] } {
  return {
    columns: ['sample', 'digit', 'read as', 'confidence', 'probability of the digit'],
    data: worst.map(({ index, label, predicted, confidence, probability }) => [
      index,
      label,
      predicted,
      confidence,
      probability,
    ]),
  }
}
