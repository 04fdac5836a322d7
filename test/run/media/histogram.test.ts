import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Histogram, type HistogramInput, toHistogram } from '../../../src/run/media/histogram.ts'
import { isErrorRecord } from '../../../src/run/media/numbers.ts'
import { Random, SEED } from '../../random.ts'

test('values fall into equally wide bins, each with its left edge, the last with both', () => {
  const { edges, counts, sum, sumSquares } = histogram([0, 0.5, 1, 1.5, 2, 3, 4], 4)
  assert.deepEqual([...edges], [0, 1, 2, 3, 4])
  assert.deepEqual([...counts], [2, 2, 1, 2])
  assert.deepEqual([sum, sumSquares], [12, 32.5])
})

test('every kind of collection of numbers gives the same bins', () => {
  const expected = histogram([3, 1, 2, 2], 3)
  const given = {
    Float32Array: Float32Array.of(3, 1, 2, 2),
    Uint8Array: Uint8Array.of(3, 1, 2, 2),
    BigInt64Array: BigInt64Array.of(3n, 1n, 2n, 2n),
    'object with a length': { length: 4, 0: 3, 1: 1, 2: 2, 3: 2 },
    generator: (function* () {
      yield* [3, 1, 2, 2]
    })(),
  }
  for (const [kind, values] of Object.entries(given)) {
    assert.deepEqual(histogram(values as HistogramInput, 3), expected, kind)
  }
  const long = Array.from({ length: 5000 }, (_, index) => index)
  assert.deepEqual(histogram(new Set(long), 7), histogram(long, 7))
})

test('values that are all the same stand in the middle of bins of one in all', () => {
  const { edges, counts } = histogram([0.25, 0.25], 2)
  assert.deepEqual([...edges], [-0.25, 0.25, 0.75])
  assert.deepEqual([...counts], [0, 2])
})

test('values too close for so many bins stand in wider ones, around their middle', () => {
  const narrow = [
    [1, 1 + Number.EPSILON],
    [1e20, 1e20],
    [-Number.MAX_VALUE, -Number.MAX_VALUE],
    [Number.MAX_VALUE, Number.MAX_VALUE],
    [0, 5e-324],
  ]
  for (const values of narrow) {
    const { edges, counts } = histogram(values, 64)
    assert.ok(
      edges.every((edge, index) => Number.isFinite(edge) && (index === 0 || edge > edges[index - 1]!)),
      `${values}`,
    )
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      2,
      `${values}`,
    )
  }
})

test('edges ascend and every finite value is counted, whatever the values are', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const seeded = new Random()
  const random = () => seeded.next()
  const odd = [
    0,
    -0,
    5e-324,
    -5e-324,
    2 ** -1022,
    1,
    1 + Number.EPSILON,
    1e15,
    1e15 + 0.125,
    1e300,
    Number.MAX_VALUE,
  ]
  for (let round = 0; round < 3000; round++) {
    const bins = 1 + Math.floor(random() * 512)
    const scale = 10 ** Math.floor(random() * 600 - 300)
    const offset = random() < 0.3 ? odd[Math.floor(random() * odd.length)]! : 0
    const values = Array.from({ length: 1 + Math.floor(random() * 40) }, () => {
      if (random() < 0.3) return odd[Math.floor(random() * odd.length)]! * (random() < 0.5 ? -1 : 1)
      return offset + (random() - 0.5) * scale
    }).filter((value) => Number.isFinite(value))
    if (values.length === 0) continue
    const { edges, counts } = histogram(values, bins)
    const about = `round ${round}: ${bins} bins of ${values}`
    assert.equal(edges.length, bins + 1, about)
    for (let bin = 0; bin < bins; bin++) {
      assert.ok(Number.isFinite(edges[bin]) && edges[bin + 1]! > edges[bin]!, about)
      const isLast = bin === bins - 1
      const inBin = values.filter(
        (value) => value >= edges[bin]! && (value < edges[bin + 1]! || (isLast && value === edges[bins])),
      )
      assert.equal(counts[bin], inBin.length, about)
    }
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      values.length,
      about,
    )
  }
})

test('NaN and infinities are left out, and their number is reported', () => {
  const reports: string[] = []
  const values = [1, Number.NaN, 2, Infinity, -Infinity]
  const answer = toHistogram(values, 1, ({ code, message }) => reports.push(`${code} ${message}`))
  assert.deepEqual(answer, {
    edges: Float64Array.of(1, 2),
    counts: Float64Array.of(2),
    sum: 3,
    sumSquares: 5,
  })
  assert.deepEqual(reports, ['ERR_VALUE 3 of the 5 values of a histogram are NaN or infinite and in no bin'])
})

test('bins that were counted elsewhere keep the sums that came with them', () => {
  const given = histogram({ edges: [0, 1], counts: [2], sum: 1, sumSquares: 0.5 })
  assert.deepEqual(given, {
    edges: Float64Array.of(0, 1),
    counts: Float64Array.of(2),
    sum: 1,
    sumSquares: 0.5,
  })
})

test('bins that were counted elsewhere are copied as they are, without sums', () => {
  const edges = [-1, 0, 10]
  const given = histogram({ edges, counts: Uint32Array.of(3, 0) })
  edges[0] = 5
  assert.deepEqual(given, { edges: Float64Array.of(-1, 0, 10), counts: Float64Array.of(3, 0) })
})

test('what makes no histogram is refused with the reason', () => {
  const endless = (function* () {
    for (;;) yield 'x'
  })()
  const throwing = {
    length: 1,
    get 0(): number {
      throw new Error('from the getter')
    },
  }
  const cases: readonly [values: unknown, bins: number | undefined, reason: RegExp][] = [
    [[], undefined, /no values/],
    [[Number.NaN, Infinity], undefined, /none of the 2 values .* finite/],
    [[1], 0, /1 to 512 bins, not 0/],
    [[1], 513, /not 513/],
    [[1], 1.5, /not 1.5/],
    [[1, '2'], undefined, /number 1 is string/],
    [[[1, 2]], undefined, /number 0 is an array \(flatten it\)/],
    [new Array(2), undefined, /number 0 is undefined/],
    [[null], undefined, /number 0 is null/],
    ['123', undefined, /array of numbers/],
    [null, undefined, /array of numbers/],
    [5, undefined, /array of numbers/],
    [{}, undefined, /array of numbers/],
    [{ length: 1e12 }, undefined, /not be more than/],
    [endless, undefined, /number 0 is string/],
    [throwing, undefined, /from the getter/],
    [{ edges: [0, 1], counts: [] }, undefined, /not 0/],
    [{ edges: [0, 1, 2], counts: [1] }, undefined, /1 counts stand between 2 edges, not 3/],
    [{ edges: [0, 0], counts: [1] }, undefined, /edge 1 is 0/],
    [{ edges: [Number.NaN, 1], counts: [1] }, undefined, /edge 0 is NaN/],
    [{ edges: [0, Infinity], counts: [1] }, undefined, /edge 1 is Infinity/],
    [{ edges: [0, 1], counts: [-1] }, undefined, /count 0 is -1/],
    [{ edges: [0, 1], counts: [Number.NaN] }, undefined, /count 0 is NaN/],
    [{ edges: [0, 1], counts: [1], sum: 1 }, undefined, /both numbers, or both absent/],
    [{ edges: [0, 1], counts: [1], sum: '1', sumSquares: 1 }, undefined, /both numbers/],
    [{ edges: null, counts: [1] }, undefined, /edges .* array of numbers/],
    [{ edges: new Float64Array(4098), counts: new Float64Array(4097) }, undefined, /1 to 4096 bins/],
  ]
  for (const [values, bins, reason] of cases) {
    const answer = toHistogram(values as HistogramInput, bins)
    assert.ok(isErrorRecord(answer), String(reason))
    assert.equal(answer.code, 'ERR_VALUE')
    assert.match(answer.message, reason)
  }
})

function histogram(values: HistogramInput, bins?: number): Histogram {
  const answer = toHistogram(values, bins)
  assert.ok(!isErrorRecord(answer), JSON.stringify(answer))
  return answer
}
