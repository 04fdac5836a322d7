import assert from 'node:assert/strict'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { CLASSES, FEATURES, type Samples, SIDE } from '../../../src/cli/demo/data.ts'
import {
  confusionFigure,
  confusionPixels,
  digitPixels,
  examine,
  worstTable,
} from '../../../src/cli/demo/findings.ts'
import { MODEL_FILES, writeModel } from '../../../src/cli/demo/model-files.ts'
import { Network } from '../../../src/cli/demo/network.ts'

const samples: Samples = {
  length: 4,
  features: Float64Array.from({ length: 4 * FEATURES }, (_, index) => index % 7),
  labels: Uint8Array.of(3, 3, 5, 9),
}
/** Sample 0 right, 1 wrong by a little, 2 wrong for sure, 3 right. */
const probabilities = certain([
  [3, 0.8],
  [8, 0.6],
  [6, 0.9],
  [9, 0.7],
])

test('every sample is counted once in the confusion matrix, at its digit and what was read', () => {
  const { confusion } = examine(samples, probabilities, 10)
  assert.equal(
    confusion.reduce((sum, count) => sum + count, 0),
    4,
  )
  for (const [label, predicted] of [
    [3, 3],
    [3, 8],
    [5, 6],
    [9, 9],
  ] as const)
    assert.equal(confusion[label * CLASSES + predicted], 1)
})

test('the worst examples are those it was surest of, and no more than wanted', () => {
  const { worst } = examine(samples, probabilities, 10)
  assert.deepEqual(
    worst.map(({ index, label, predicted, confidence }) => [index, label, predicted, confidence]),
    [
      [2, 5, 6, 0.9],
      [1, 3, 8, 0.6],
    ],
  )
  assert.equal(examine(samples, probabilities, 1).worst.length, 1)
  assert.deepEqual(worstTable(worst).data[0]!.slice(0, 4), [2, 5, 6, 0.9])
})

test('the pictures have the colour of what they show', () => {
  const { confusion, worst } = examine(samples, probabilities, 10)
  const { data, shape } = confusionPixels(confusion)
  const side = shape[0]!
  assert.deepEqual(shape, [side, side, 3])
  const cell = side / CLASSES
  const at = (label: number, predicted: number) => {
    const pixel = ((label * cell + 1) * side + predicted * cell + 1) * 3
    return [...data.subarray(pixel, pixel + 3)]
  }
  assert.deepEqual(at(9, 9), [0, 0, 255])
  assert.deepEqual(at(5, 6), [255, 0, 0])
  assert.deepEqual(at(0, 1), [255, 255, 255])
  const digit = digitPixels(samples, worst[0]!)
  assert.deepEqual(digit.shape, [SIDE, SIDE])
  assert.equal(Math.max(...digit.data), 255)
  assert.deepEqual((confusionFigure(confusion).data[0] as { z: number[][] }).z[5]![6], 1)
})

test('the model files hold every weight and bias', (context) => {
  const network = new Network([3, 4, 2], 1, 5)
  const folder = writeModel(network)
  context.after(() => rmSync(folder, { recursive: true }))
  const bytes = readFileSync(join(folder, MODEL_FILES.weights))
  const numbers = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
  assert.deepEqual(
    [...numbers],
    network.layers.flatMap(({ weights, biases }) => [...weights, ...biases]),
  )
})

/** Probabilities where one class has so much and the others share the rest. */
function certain(best: readonly (readonly [digit: number, probability: number])[]): Float64Array {
  const all = new Float64Array(best.length * CLASSES)
  for (const [sample, [digit, probability]] of best.entries()) {
    all.fill((1 - probability) / (CLASSES - 1), sample * CLASSES, (sample + 1) * CLASSES)
    all[sample * CLASSES + digit] = probability
  }
  return all
}
