import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DESTINATION_OPTIONS } from '../../../src/core/destination-options.ts'
import type { BlobRef, RunRecord } from '../../../src/core/types.ts'
import { decodeRecord, encodeRecord } from '../../../src/pipeline/journal/records.ts'

const blob: BlobRef = { digest: 'ab'.repeat(32), bytes: 2 ** 40, type: 'image/png' }
const other: BlobRef = { digest: '01'.repeat(32), bytes: 0, type: 'application/json' }
const placed = { name: 'val/größe 漢', step: -(2 ** 53 - 1), time: 1_700_000_000_000.25 }
const odd = Float64Array.of(-Infinity, -0, 0.1, 5e-324, Number.MAX_VALUE)

const RECORDS: readonly RunRecord[] = [
  { kind: 'notes', notes: '# why\n\u0000 \ud83d\ude00' },
  { kind: 'metric', name: 'val/*', axis: 'epoch', summary: ['min', 'best'], goal: 'minimize' },
  { kind: 'metric', name: 'loss' },
  { kind: 'dataset', name: 'mnist', digest: 'abc', source: '{"uri":"x"}', sourceType: 'local', schema: '{}' },
  { kind: 'console', stream: 'stderr', text: 'a\u001b[1mb\r\n\n\u0000', time: 1_700_000_000_000.25 },
  { kind: 'console', stream: 'stdout', text: '', time: 0 },
  { ...placed, kind: 'text', text: '' },
  { ...placed, kind: 'text', text: blob },
  { ...placed, kind: 'histogram', edges: odd, counts: Float64Array.of(1, 0, 2 ** 60, NaN) },
  { ...placed, kind: 'histogram', edges: odd, counts: odd.slice(1), sum: NaN, sumSquares: Infinity },
  {
    ...placed,
    kind: 'images',
    images: [
      { image: blob, width: 28, height: 28, caption: 'a "cat"' },
      { image: other, width: 0, height: 0 },
    ],
  },
  { ...placed, kind: 'images', images: [] },
  { ...placed, kind: 'table', table: other, columns: 3, rows: 0 },
  { ...placed, kind: 'figure', figure: other },
  { ...placed, kind: 'figure', figure: blob, width: 640, height: 480 },
  {
    ...placed,
    kind: 'prCurve',
    truePositives: Float64Array.of(5, 3),
    falsePositives: Float64Array.of(2, 0),
    trueNegatives: Float64Array.of(0, 2),
    falseNegatives: Float64Array.of(0, 2),
  },
  {
    kind: 'artifact',
    name: 'weights',
    type: 'checkpoint',
    time: 5,
    bytes: 7,
    files: [
      { path: 'a/b.bin', blob },
      { path: 'far', uri: 's3://bucket/key', bytes: 12, digest: 'etag' },
    ],
    metadata: '{"a":1}',
  },
  {
    ...{ kind: 'artifact', name: 'many', type: 'artifact', time: 5, bytes: 1, files: other },
    aliases: ['best', 'größe 漢'],
  },
  {
    kind: 'model',
    name: 'net',
    time: 6,
    step: 3,
    bytes: 2,
    files: [{ path: 'model.bin', blob }],
    register: 'resnet',
    aliases: ['champion'],
  },
  {
    ...{ kind: 'files', time: 7.25, bytes: 2 ** 53 - 1 },
    files: [
      { path: 'config/größe 漢.yaml', blob },
      { path: 'log.txt', blob: other },
    ],
  },
  { kind: 'files', time: 7, bytes: 1, files: other },
  { kind: 'input', artifact: 'team/lab/data:v3', type: 'dataset', time: 1_700_000_000_000.25 },
  { kind: 'input', artifact: 'data', time: 0 },
  { kind: 'alert', title: 'a\u0000 \ud83d\ude00', text: '# why\n', level: 'error', time: 8.5, waitMs: 0.5 },
  { kind: 'alert', title: 'b', text: '', level: 'info', time: 8 },
  { kind: 'rewind', fromStep: -3, time: 1_700_000_000_000.25 },
]

test('every kind of item comes back as it was, bit by bit', () => {
  for (const record of RECORDS) {
    const bytes = encodeRecord(record)
    assert.deepEqual(decodeRecord(bytes), record)
    // as it lies in a larger buffer, at any place
    const within = new Uint8Array(bytes.length + 3)
    within.set(bytes, 3)
    assert.deepEqual(decodeRecord(within.subarray(3)), record, `${record.kind} off its alignment`)
  }
})

test('an item whose parts are not those of its kind is no record', () => {
  for (const record of RECORDS) {
    const bytes = encodeRecord(record)
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at]! ^= 0xff
      // whatever it says, it neither throws nor reads beyond its end
      const decoded = decodeRecord(damaged)
      assert.ok(decoded === undefined || typeof decoded.kind === 'string')
    }
  }
})

test('no kind of item is left out here', () => {
  const here = new Set<string>(RECORDS.map(({ kind }) => kind))
  const others = ['points', 'params', 'tags']
  assert.deepEqual(
    DESTINATION_OPTIONS.kinds.values.filter((kind) => !others.includes(kind) && !here.has(kind)),
    [],
  )
})
