import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FEATURES, loadDigits } from '../../../src/cli/demo/data.ts'
import { DEFAULT_TRAINING, learningRateAt, train } from '../../../src/cli/demo/train.ts'

const data = loadDigits(1)

test('the digits are split without overlap, all classes in both parts, and normalised', () => {
  const { training, validation } = data
  assert.equal(training.length, 8000)
  assert.equal(validation.length, 2000)
  for (const { features, labels, length } of [training, validation]) {
    assert.equal(features.length, length * FEATURES)
    assert.equal(new Set(labels).size, 10)
  }
  const mean = training.features.reduce((sum, value) => sum + value, 0) / training.features.length
  assert.ok(Math.abs(mean) < 1e-9)
  const imageOf = ({ features }: typeof training, index: number) =>
    features.subarray(index * FEATURES, (index + 1) * FEATURES).join()
  const seen = new Set(Array.from({ length: training.length }, (_, index) => imageOf(training, index)))
  for (let index = 0; index < validation.length; index++) assert.ok(!seen.has(imageOf(validation, index)))
})

test('it learns to read digits it has not seen', () => {
  const { accuracy } = train(data, { ...DEFAULT_TRAINING, steps: 400 }, { row: () => {} })
  assert.ok(accuracy > 0.9, `accuracy ${accuracy}`)
})

test('a step logs one row of at least 20 series, all finite, and the validation at its steps', () => {
  const rows: [number, Record<string, number>][] = []
  const progress: number[] = []
  const options = { ...DEFAULT_TRAINING, steps: 25, validateEvery: 10 }
  train(data, options, {
    row: (step, values) => rows.push([step, { ...values }]),
    progress: (step) => progress.push(step),
  })
  const main = rows.filter(([, values]) => 'train/loss' in values)
  assert.deepEqual(
    main.map(([step]) => step),
    Array.from({ length: 25 }, (_, step) => step),
  )
  for (const [, values] of main) {
    assert.ok(Object.keys(values).length >= 20)
    assert.ok(Object.values(values).every(Number.isFinite))
  }
  const validations = rows.filter(([, values]) => 'validation/accuracy' in values)
  assert.deepEqual(
    validations.map(([step]) => step),
    [9, 19, 24],
  )
  assert.equal(progress.at(-1), 25)
})

test('the same seed gives the same run, another seed another', () => {
  const losses = (seed: number) => {
    const seen: number[] = []
    train(
      data,
      { ...DEFAULT_TRAINING, steps: 20, validateEvery: 1000, seed },
      {
        row: (_, values) => seen.push(values['train/loss'] ?? Number.NaN),
      },
    )
    return seen
  }
  assert.deepEqual(losses(3), losses(3))
  assert.notDeepEqual(losses(3), losses(4))
})

test('the learning rate warms up and falls to almost nothing', () => {
  const options = { ...DEFAULT_TRAINING, steps: 1000, learningRate: 1 }
  assert.equal(learningRateAt(0, options), 1 / 50)
  assert.equal(learningRateAt(49, options), 1)
  assert.equal(learningRateAt(50, options), 1)
  assert.ok(Math.abs(learningRateAt(525, options) - 0.5) < 1e-9)
  assert.ok(learningRateAt(999, options) < 1e-5)
  assert.ok(learningRateAt(0, { ...options, steps: 1 }) > 0)
})
