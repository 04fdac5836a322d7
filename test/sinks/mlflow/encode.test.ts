import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Batch } from '../../../src/core/types.ts'
import {
  chunkEntries,
  ENVELOPE_BYTES,
  encodeEntries,
  encodePoints,
  fitText,
  paramText,
  pointBytes,
  pointPrefix,
} from '../../../src/sinks/mlflow/encode.ts'
import { keyOf } from '../../../src/sinks/mlflow/keys.ts'
import { Random, SEED } from '../../random.ts'
import { batchOf, type TestPoint } from './points.ts'

const RUN = '3b257e919c5645b0b1b137c27c21ba1a'
const encode = (batch: Batch) =>
  encodePoints(RUN, batch, (id) => {
    const { name, context } = batch.describe(id)
    return pointPrefix(keyOf(name, context).key)
  })
const metricsOf = (body: Buffer) =>
  (
    JSON.parse(body.toString()) as {
      metrics: { key: string; value: number | string; timestamp: number; step: number }[]
    }
  ).metrics

describe('encoding for MLflow', () => {
  it("says the same as MLflow's own client", () => {
    // Recorded from mlflow 3.17.2, MlflowClient.log_batch and mlflow.log_params.
    const recorded =
      '{"run_id": "3b257e919c5645b0b1b137c27c21ba1a", "metrics": [{"key": "bm", "value": 0.0, "timestamp": 1, "step": 0}, {"key": "bm", "value": 1.0, "timestamp": 1, "step": 1}, {"key": "bm", "value": 2.0, "timestamp": 1, "step": 2}]}'
    const recordedParams =
      '{"run_id": "3b257e919c5645b0b1b137c27c21ba1a", "params": [{"key": "a", "value": "1"}, {"key": "b", "value": "two"}]}'
    const { body } = encode(batchOf([0, 1, 2].map((step) => ({ name: 'bm', step, time: 1, value: step }))))
    assert.deepEqual(JSON.parse(body.toString()), JSON.parse(recorded))
    const params = { a: 1, b: 'two' }
    const entries = Object.entries(params).map(([key, value], index) => ({
      index,
      key,
      value: paramText(value),
    }))
    assert.deepEqual(JSON.parse(encodeEntries(RUN, 'params', entries).toString()), JSON.parse(recordedParams))
  })

  it('spells one body exactly so', () => {
    const { body, count } = encode(
      batchOf([
        { name: 'loss', step: 7, time: 1795420526942.9, value: 0.1 },
        { name: 'Größe', step: -7, time: 999_999, value: -0 },
        { name: 'nan', step: -0, time: 1_000_000, value: Number.NaN },
        { name: 'inf', step: 2 ** 53 - 1, time: 2 ** 53 - 1, value: -Infinity },
      ]),
    )
    assert.equal(count, 4)
    assert.equal(
      body.toString(),
      `{"run_id":"${RUN}","metrics":[` +
        '{"key":"loss","value":0.1,"timestamp":1795420526942,"step":7},' +
        '{"key":"Gr\\u00f6\\u00dfe","value":0,"timestamp":999999,"step":-7},' +
        '{"key":"nan","value":"NaN","timestamp":1000000,"step":0},' +
        '{"key":"inf","value":"-Infinity","timestamp":9007199254740991,"step":9007199254740991}]}',
    )
  })

  it(`keeps every bit of a double, every step and every whole millisecond (seed ${SEED})`, () => {
    const random = new Random()
    const names = ['loss', 'val/acc', '損失', 'a@b', '😀', 'x'.repeat(300), '__proto__']
    for (let round = 0; round < 30; round++) {
      const points = Array.from(
        { length: 500 },
        (): TestPoint => ({
          name: random.pick(names),
          context: random.pick(['', 'rank 1', 'b"\\']),
          step:
            (random.below(2) ? 1 : -1) * random.below(random.pick([10, 2 ** 40, Number.MAX_SAFE_INTEGER])),
          time: random.below(random.pick([10, 2e12, Number.MAX_SAFE_INTEGER])),
          value: random.double(),
        }),
      )
      const { body, rejected } = encode(batchOf(points))
      assert.deepEqual(rejected, [])
      const found = metricsOf(body)
      assert.equal(found.length, points.length)
      found.forEach(({ key, value, timestamp, step }, i) => {
        const point = points[i]!
        const expected = [keyOf(point.name, point.context).key, point.value + 0, point.time, point.step + 0]
        assert.deepEqual([key, value, timestamp, step], expected)
      })
    }
  })

  it('rejects by index what MLflow cannot parse, and only that', () => {
    const good = { name: 'a', step: 1, time: 5, value: 1 }
    const bad: Partial<TestPoint>[] = [
      { step: 1.5 },
      { step: 2 ** 53 },
      { step: Number.NaN },
      { step: Infinity },
      { time: -1 },
      { time: Number.NaN },
      { time: Infinity },
      { time: 1e300 },
    ]
    const points = bad.flatMap((fault, i) => [
      { ...good, step: i },
      { ...good, ...fault },
    ])
    const { body, count, rejected } = encode(batchOf(points))
    assert.deepEqual(
      rejected.map(({ index, code }) => [index, code]),
      bad.map((_, i) => [2 * i + 1, 'ERR_REFUSED']),
    )
    assert.equal(count, bad.length)
    assert.deepEqual(
      metricsOf(body).map(({ step }) => step),
      bad.map((_, i) => i),
    )
  })

  it('counts points that MLflow takes for one', () => {
    const point = { name: 'a', step: 1, time: 5, value: 1 }
    const counts = (points: readonly TestPoint[]) => encode(batchOf(points)).superseded
    assert.equal(counts([point, { ...point, step: 2 }, { ...point, step: 3 }]), 0)
    assert.equal(counts([point, { ...point, name: 'b' }, point]), 1)
    assert.equal(counts([point, { ...point, step: 2 }, { ...point, time: 5.5 }]), 1)
    assert.equal(
      counts([
        { ...point, value: 0 },
        { ...point, value: -0 },
      ]),
      1,
    )
    assert.equal(
      counts([
        { ...point, value: Number.NaN },
        { ...point, value: Number.NaN },
      ]),
      1,
    )
    assert.equal(counts([point, { ...point, value: 2 }]), 0)
  })

  it('stays below the size that it declares', () => {
    const names = [
      'a',
      '',
      'x'.repeat(250),
      'é'.repeat(250),
      '損'.repeat(250),
      '𝒳'.repeat(125),
      '/'.repeat(300),
      '"\\'.repeat(90),
    ]
    for (const name of names) {
      for (const context of ['', 'ctx', '損'.repeat(40)]) {
        const point = {
          name,
          context,
          step: -(2 ** 53 - 1),
          time: 2 ** 53 - 1,
          value: -1.7976931348623157e308,
        }
        const one = encode(batchOf([point])).body.length
        const bound = ENVELOPE_BYTES + pointBytes(Buffer.byteLength(name) + Buffer.byteLength(context))
        assert.ok(one <= bound, `${name.slice(0, 9)}: ${one} > ${bound}`)
      }
    }
  })

  it('cuts texts between characters and mends what no database holds', () => {
    assert.equal(fitText('abc', 3), 'abc')
    assert.equal(fitText('ab😀', 3), 'ab')
    assert.equal(fitText('a\0b\ud800', 10), 'a\uFFFDb\uFFFD')
  })

  it('asks for at most 100 params at once, and for less than 1 MB', () => {
    const entries = Array.from({ length: 250 }, (_, index) => ({ index, key: `k${index}`, value: 'v' }))
    assert.deepEqual(
      chunkEntries(entries).map((chunk) => chunk.length),
      [100, 100, 50],
    )
    const long = entries.map((entry) => ({ ...entry, value: '損'.repeat(8000) }))
    const bodies = chunkEntries(long).map((chunk) => encodeEntries(RUN, 'tags', chunk))
    assert.ok(bodies.every((body) => body.length < 1_000_000))
    assert.equal(chunkEntries(long).flat().length, 250)
  })
})
