import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Samples } from '../../../src/cli/demo/data.ts'
import { Network, norm } from '../../../src/cli/demo/network.ts'
import { seededRandom } from '../../../src/cli/demo/random.ts'

const SIZES = [5, 7, 6, 3]

test('every gradient equals the finite difference of the loss', () => {
  const samples = randomSamples(4)
  const network = new Network(SIZES, 4, 11)
  const h = 1e-6
  const lossNow = () => network.evaluate(samples).loss
  network.learn(samples, 0, 4)
  for (const [index, layer] of network.layers.entries()) {
    const pairs = [
      [layer.weights, layer.weightGradients.slice()],
      [layer.biases, layer.biasGradients.slice()],
    ] as const
    for (const [values, gradients] of pairs) {
      for (let at = 0; at < values.length; at++) {
        const value = values[at]!
        values[at] = value + h
        const above = lossNow()
        values[at] = value - h
        const below = lossNow()
        values[at] = value
        const difference = (above - below) / (2 * h)
        assert.ok(
          Math.abs(difference - gradients[at]!) < 1e-7,
          `layer ${index}, ${at}: ${gradients[at]} ≠ ${difference}`,
        )
      }
    }
  }
  // Otherwise a network of zeros would pass.
  assert.ok(network.layers.every((layer) => norm(layer.weightGradients) > 1e-3))
})

test('the loss is the mean over the batch, in whatever parts it is taken', () => {
  const samples = randomSamples(10)
  const whole = new Network(SIZES, 10, 3).evaluate(samples)
  const parts = new Network(SIZES, 3, 3).evaluate(samples)
  assert.ok(Math.abs(whole.loss - parts.loss) < 1e-12)
  assert.ok(Math.abs(whole.accuracy - parts.accuracy) < 1e-12)
})

test('momentum adds a share of the last change to the next', () => {
  const network = new Network(SIZES, 2, 5)
  const layer = network.layers[0]!
  network.learn(randomSamples(2), 0, 2)
  const before = layer.weights.slice()
  layer.update(0.5, 0.9)
  const first = layer.weights.map((value, index) => value - before[index]!)
  layer.weightGradients.fill(0)
  const changed = layer.update(0.5, 0.9)
  assert.ok(Math.abs(changed - 0.9 * norm(first)) < 1e-12)
})

test('the active share counts what ReLU let through', () => {
  const network = new Network(SIZES, 2, 5)
  network.layers[0]!.biases.fill(-1000, 0, 3).fill(1000, 3)
  network.evaluate(randomSamples(2))
  assert.equal(network.activeShare(0, 2), 4 / 7)
})

function randomSamples(length: number): Samples {
  const random = seededRandom(length)
  return {
    length,
    features: Float64Array.from({ length: length * SIZES[0]! }, () => random() * 2 - 1),
    labels: Uint8Array.from({ length }, () => Math.floor(random() * SIZES.at(-1)!)),
  }
}
