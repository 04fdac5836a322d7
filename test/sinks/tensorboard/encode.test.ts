import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunRecord } from '../../../src/core/types.ts'
import type { RecordContent } from '../../../src/sinks/tensorboard/content.ts'
import {
  fileVersionRecord,
  maxPointBytes,
  recordOf,
  ScalarEncoder,
} from '../../../src/sinks/tensorboard/encode.ts'
import { encodeRecord } from '../../../src/sinks/tensorboard/encode-record.ts'
import { inMemory } from '../../../src/sinks/tensorboard/pieces.ts'
import { TagBook } from '../../../src/sinks/tensorboard/tag.ts'
import { batchOf, type PlainPoint } from './batch.ts'
import * as golden from './golden.ts'

const T = 1_700_000_001_500
const GOLDEN_POINTS: readonly PlainPoint[] = [
  { name: 'train/loss', step: 0, time: T, value: 0.1 },
  { name: 'train/loss', context: 'val', step: 0, time: T, value: -0 },
  { name: '精度 🎯', step: -0, time: T, value: 3.4028234663852886e38 },
  { name: 'train/loss', step: 1, time: T, value: Number.NaN },
  { name: 'train/loss', step: 1, time: T + 1, value: Infinity },
  { name: 'train/loss', step: 1, time: T + 1, value: -Infinity },
  { name: 'train/loss', step: 127, time: T + 1, value: 1e-45 },
  { name: 'train/loss', step: 128, time: T + 1, value: 1 },
  { name: 'train/loss', step: 2 ** 31 - 1, time: T + 1, value: 2 },
  { name: 'train/loss', step: 2 ** 31, time: T + 1, value: 3 },
  { name: 'train/loss', step: 2 ** 53 - 1, time: T + 1, value: 4 },
  { name: 'train/loss', step: -1, time: T + 1, value: 5 },
  { name: 'train/loss', step: -(2 ** 28), time: T + 1, value: 6 },
  { name: 'train/loss', step: -(2 ** 53 - 1), time: T + 1, value: 7 },
  { name: 'n'.repeat(300), step: 5, time: -1500, value: 8 },
]
const place = (more: { seq?: number; firstParams?: boolean } = {}) => ({
  seq: 3,
  startedSeconds: 1_700_000_000.25,
  firstParams: true,
  tags: new TagBook(),
  ...more,
})

test("the first record is TensorBoard's own, byte for byte", () => {
  assert.equal(fileVersionRecord(1_700_000_000.25, 'tracelet 0f1e2d3c').toString('hex'), golden.fileVersion)
})

test('scalars of all kinds of steps, values and names are the bytes that TensorBoard writes', () => {
  assert.equal(encode(new ScalarEncoder(), GOLDEN_POINTS).toString('hex'), golden.scalars)
})

test('an encoder that knows the series already writes the same bytes', () => {
  const encoder = new ScalarEncoder()
  const first = encode(encoder, GOLDEN_POINTS)
  assert.deepEqual(encode(encoder, GOLDEN_POINTS), first)
})

test('points of one step and time share a record, in their order', () => {
  const apart = encode(new ScalarEncoder(), [GOLDEN_POINTS[0]!, { ...GOLDEN_POINTS[0]!, time: T + 1 }])
  const together = encode(new ScalarEncoder(), [GOLDEN_POINTS[0]!, GOLDEN_POINTS[0]!])
  assert.equal(apart.length - together.length, 12 + 4 + 9 + 2)
})

test('no batch is longer than its bounds', () => {
  const encoder = new ScalarEncoder()
  const points = GOLDEN_POINTS.map((point, index) => ({ ...point, context: '[%'.repeat(index) }))
  for (const point of points) {
    const bytes = encode(encoder, [point]).length
    assert.ok(bytes <= maxPointBytes(Buffer.byteLength(point.name + point.context)), point.name)
  }
  const batch = batchOf(points)
  assert.ok(encode(new ScalarEncoder(), points).length <= new ScalarEncoder().bound(batch))
})

test('only a finite value beyond float32 counts as overflowed', () => {
  const encoder = new ScalarEncoder()
  const point = GOLDEN_POINTS[0]!
  // Rounds down to the largest float32.
  encode(encoder, [...GOLDEN_POINTS, { ...point, value: 3.4028235e38 }])
  assert.equal(encoder.overflowed, false)
  encode(encoder, [{ ...point, value: -3.5e38 }])
  assert.equal(encoder.overflowed, true)
})

test('the first parameters stand in the text tab and the table of hyperparameters', () => {
  const params = { adam: true, lr: 1e-3, model: 'résnet' }
  assert.equal(recordBytes({ kind: 'params', params }).toString('hex'), golden.params)
})

test('later parameters stand in the text tab only', () => {
  const params = { adam: true, lr: 1e-3, model: 'résnet' }
  const bytes = recordBytes({ kind: 'params', params }, { firstParams: false })
  assert.ok(bytes.includes('tracelet/params'))
  assert.ok(!bytes.includes('_hparams_'))
})

test('the end of a run stands in the text tab and the table of hyperparameters', () => {
  const record = { kind: 'state', state: 'finished', time: 1_700_000_009_500 } as const
  assert.equal(recordBytes(record, { seq: 900 }).toString('hex'), golden.finished)
})

test('a record without entries takes no bytes', () => {
  assert.deepEqual(encodeRecord({ kind: 'params', params: {} }, NOTHING, place()), [])
  assert.deepEqual(encodeRecord({ kind: 'tags', tags: {} }, NOTHING, place()), [])
})

const NOTHING = { kind: 'none' } as const
function recordBytes(
  record: RunRecord,
  more?: Parameters<typeof place>[0],
  content: RecordContent = NOTHING,
): Buffer {
  const payload = encodeRecord(record, content, place(more))
  assert.ok(inMemory(payload))
  return recordOf(payload)
}

function encode(encoder: ScalarEncoder, points: readonly PlainPoint[]): Buffer {
  const batch = batchOf(points)
  const out = Buffer.alloc(encoder.bound(batch))
  return out.subarray(0, encoder.encode(batch, out))
}
