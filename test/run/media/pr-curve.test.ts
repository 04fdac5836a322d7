import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isErrorRecord } from '../../../src/run/media/numbers.ts'
import { type PrCurve, toPrCurve } from '../../../src/run/media/pr-curve.ts'
import { Random, SEED } from '../../random.ts'

test('a prediction counts at every threshold up to itself', () => {
  assert.deepEqual(curve([1, 0, true, false], [0.9, 0.5, 0.4, 0], 5), {
    truePositives: Float64Array.of(2, 2, 1, 1, 0),
    falsePositives: Float64Array.of(2, 1, 1, 0, 0),
    trueNegatives: Float64Array.of(0, 1, 1, 2, 2),
    falseNegatives: Float64Array.of(0, 0, 1, 1, 2),
  })
})

test('counts are those of comparing every prediction with every threshold', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const seeded = new Random()
  const random = () => seeded.next()
  for (let round = 0; round < 200; round++) {
    // Thresholds that are powers of two apart are exact, so that ⌊p · (n − 1)⌋ and p ≥ t agree.
    const thresholds = 2 ** Math.floor(random() * 9) + 1
    const length = 1 + Math.floor(random() * 50)
    const labels = Array.from({ length }, () => random() < 0.4)
    const predictions = Array.from({ length }, () => Math.floor(random() * 65) / 64)
    const weights = Array.from({ length }, () => Math.floor(random() * 5))
    const found = curve(labels, predictions, thresholds, weights)
    for (let at = 0; at < thresholds; at++) {
      const sumWhere = (label: boolean, above: boolean) =>
        weights.reduce(
          (sum, weight, index) =>
            labels[index] === label && predictions[index]! >= at / (thresholds - 1) === above
              ? sum + weight
              : sum,
          0,
        )
      assert.equal(found.truePositives[at], sumWhere(true, true))
      assert.equal(found.falsePositives[at], sumWhere(false, true))
      assert.equal(found.trueNegatives[at], sumWhere(false, false))
      assert.equal(found.falseNegatives[at], sumWhere(true, false))
    }
  }
})

test('float32 predictions reach the thresholds that float32 arithmetic gives', () => {
  const labels = [true]
  assert.equal(curve(labels, Float32Array.of(0.7), 11).truePositives[7], 1)
  assert.equal(curve(labels, [Math.fround(0.7)], 11).truePositives[7], 0)
})

test('predictions beyond 0 and 1 count as 0 and 1', () => {
  const { truePositives } = curve([1, 1, 1, 1], [-3, 7, Infinity, -Infinity], 3)
  assert.deepEqual([...truePositives], [4, 2, 2])
})

test('one weight is for all', () => {
  assert.deepEqual([...curve([1, 1], [0, 1], 2, 0.25).truePositives], [0.5, 0.25])
})

test('predictions that are NaN count nowhere, and their number is reported', () => {
  const reports: string[] = []
  const answer = toPrCurve([1, 0], [Number.NaN, 1], 2, 1, ({ code, message }) =>
    reports.push(`${code} ${message}`),
  )
  assert.ok(!isErrorRecord(answer))
  assert.deepEqual([...answer.truePositives, ...answer.falsePositives], [0, 0, 1, 1])
  assert.deepEqual(reports, ['ERR_VALUE 1 of the 2 predictions of a PR curve are NaN'])
})

test('counts that were made elsewhere are copied as they are', () => {
  const truePositives = [1, 0]
  const other = { falsePositives: [0, 0], trueNegatives: [2, 2], falseNegatives: [0, 3] }
  const found = curve({ truePositives, ...other }, [])
  truePositives[0] = 9
  assert.deepEqual(found, {
    truePositives: Float64Array.of(1, 0),
    falsePositives: Float64Array.of(0, 0),
    trueNegatives: Float64Array.of(2, 2),
    falseNegatives: Float64Array.of(0, 3),
  })
})

test('what makes no curve is refused with the reason', () => {
  const cases: readonly [args: unknown[], reason: RegExp][] = [
    [[[], []], /no labels/],
    [[[1], [1, 0]], /1 labels need as many predictions, not 2/],
    [[[1, 0], [1, 0], 127, [1]], /2 labels need as many weights, not 1/],
    [[[1], [1], 1], /2 to 4096 thresholds, not 1/],
    [[[1], [1], 4097], /not 4097/],
    [[[1], [1], Number.NaN], /not NaN/],
    [[[2], [1]], /label 0 is 2/],
    [[[Number.NaN], [1]], /label 0 is NaN/],
    [[['1'], [1]], /labels .* number 0 is string/],
    [[[1], ['1']], /predictions .* number 0 is string/],
    [[[1], [1], 127, [-1]], /weight 0 is -1/],
    [[[1], [1], 127, Infinity], /weight 0 is Infinity/],
    [[[1], [Number.NaN]], /all predictions .* NaN/],
    [[{ truePositives: [1, 1] }, []], /falsePositives .* array of numbers/],
    [
      [{ truePositives: [1, 1], falsePositives: [1], trueNegatives: [1], falseNegatives: [1] }, []],
      /equally many/,
    ],
    [[{ truePositives: [1], falsePositives: [1], trueNegatives: [1], falseNegatives: [1] }, []], /2 to 4096/],
    [
      [{ truePositives: [-1], falsePositives: [1], trueNegatives: [1], falseNegatives: [1] }, []],
      /number 0 is -1/,
    ],
    [[null, [1]], /labels .* array of numbers/],
  ]
  for (const [args, reason] of cases) {
    const answer = toPrCurve(...(args as Parameters<typeof toPrCurve>))
    assert.ok(isErrorRecord(answer), String(reason))
    assert.equal(answer.code, 'ERR_VALUE')
    assert.match(answer.message, reason)
  }
})

function curve(...args: Parameters<typeof toPrCurve>): PrCurve {
  const answer = toPrCurve(...args)
  assert.ok(!isErrorRecord(answer), JSON.stringify(answer))
  return answer
}
