import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { BlobRef, RunRecord } from '../../../src/core/types.ts'
import { BlobError } from '../../../src/sinks/run-blobs.ts'
import type { RecordContent } from '../../../src/sinks/tensorboard/content.ts'
import { encodeRecord } from '../../../src/sinks/tensorboard/encode-record.ts'
import { histogramValue } from '../../../src/sinks/tensorboard/histogram.ts'
import { recordParts } from '../../../src/sinks/tensorboard/record-parts.ts'
import { TagBook } from '../../../src/sinks/tensorboard/tag.ts'
import * as golden from './golden.ts'
import { parseEventFile } from './read-events.ts'

const folder = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const TIME = 1_700_000_001_500
const NOTHING: RecordContent = { kind: 'none' }
const PIXELS = fileOf(Uint8Array.from({ length: 200 }, (_, index) => index))

test("notes and texts are the bytes of TensorBoard's own writer", async () => {
  const notes = '# A *run*'
  assert.equal(
    await hexOf({ kind: 'notes', notes }, { kind: 'text', text: notes, isCut: false }, 7),
    golden.notes,
  )
  const text = 'Grüße 🎯'
  const record: RunRecord = { kind: 'text', name: 'eval/said', step: 12, time: TIME, text }
  assert.equal(await hexOf(record, { kind: 'text', text, isCut: false }), golden.text)
})

test("a histogram is TensorBoard's own message, negative step and all", async () => {
  const record: RunRecord = {
    kind: 'histogram',
    name: 'weights',
    step: -3,
    time: TIME,
    edges: Float64Array.of(-0.1, 0, 0.3, 3.5),
    counts: Float64Array.of(2, 0, 5),
    sum: 2.25,
    sumSquares: 9.5,
  }
  assert.equal(await hexOf(record), golden.histogram)
})

test('empty bins at both ends are left out, and sums that nobody knows are those of the middles', async () => {
  const record: RunRecord = {
    kind: 'histogram',
    name: 'weights',
    step: 0,
    time: TIME,
    edges: Float64Array.of(-2, 0, 2, 4, 8),
    counts: Float64Array.of(0, 1, 3, 0),
  }
  assert.equal(await hexOf(record), golden.histogramOfBins)
})

test('bins too narrow for float32 are a tensor of doubles', async () => {
  const record: RunRecord = {
    kind: 'histogram',
    name: 'weights',
    step: 1,
    time: TIME,
    edges: Float64Array.of(1e9, 1e9 + 1, 1e9 + 2),
    counts: Float64Array.of(1, 2),
  }
  assert.equal(await hexOf(record), golden.narrowHistogram)
})

test('a histogram of nothing keeps all its bins', () => {
  const value = histogramValue('h', { edges: Float64Array.of(0, 1, 2), counts: Float64Array.of(0, 0) })
  const bounds = Buffer.from(Float64Array.of(1, 2).buffer)
  assert.ok(Buffer.from(value).includes(bounds))
})

test('an image is streamed from its file into the bytes that TensorBoard writes', async () => {
  const record: RunRecord = { kind: 'images', name: 'samples', step: 4, time: TIME, images: [] }
  const images = [{ width: 2, height: 3, file: PIXELS }]
  assert.equal(await hexOf(record, { kind: 'images', images }), golden.image)
})

test('several images of a step are one tensor', async () => {
  const record: RunRecord = { kind: 'images', name: 'samples', step: 4, time: TIME, images: [] }
  const other = { width: 9, height: 9, file: fileOf(Buffer.from('other')) }
  const content: RecordContent = { kind: 'images', images: [{ width: 2, height: 3, file: PIXELS }, other] }
  assert.equal(await hexOf(record, content), golden.images)
})

test('a PR curve has its precision and recall beside its counts', async () => {
  const record: RunRecord = {
    kind: 'prCurve',
    name: 'eval/pr',
    step: 5,
    time: TIME,
    truePositives: Float64Array.of(2, 2, 1, 0),
    falsePositives: Float64Array.of(3, 1, 1, 0),
    trueNegatives: Float64Array.of(0, 2, 2, 3),
    falseNegatives: Float64Array.of(0, 0, 1, 2),
  }
  assert.equal(await hexOf(record), golden.prCurve)
})

test('the checksum of a record goes over all its parts, whatever their lengths', async () => {
  const image = { width: 1, height: 1, file: fileOf(Buffer.alloc(3 * 2 ** 20 + 5, 7)) }
  const content: RecordContent = { kind: 'images', images: [image, { ...image, file: PIXELS }, image] }
  const record: RunRecord = { kind: 'images', name: 'samples', step: 1, time: TIME, images: [] }
  const parts = await partsOf(record, content)
  assert.ok(parts.every((part) => part.length <= 2 ** 20))
  const first = await partsOf({ kind: 'notes', notes: '' }, { kind: 'text', text: '', isCut: false })
  // Reading checks both checksums of each record; a file must begin with a version, which is cut in here.
  const version = Buffer.from(golden.fileVersion, 'hex')
  assert.equal(parseEventFile(Buffer.concat([version, ...first, ...parts])).length, 2)
})

test('a file that is no longer as long as it was makes no record', async () => {
  const record: RunRecord = { kind: 'images', name: 'samples', step: 1, time: TIME, images: [] }
  for (const bytes of [PIXELS.bytes - 1, PIXELS.bytes + 1]) {
    const images = [{ width: 1, height: 1, file: { ...PIXELS, bytes } }]
    await assert.rejects(partsOf(record, { kind: 'images', images }), BlobError)
  }
})

async function hexOf(record: RunRecord, content = NOTHING, seq = 0): Promise<string> {
  return Buffer.concat(await partsOf(record, content, seq)).toString('hex')
}

async function partsOf(record: RunRecord, content: RecordContent, seq = 0): Promise<Buffer[]> {
  const place = { seq, startedSeconds: 1_700_000_000.25, firstParams: true, tags: new TagBook() }
  const parts: Buffer[] = []
  for await (const part of recordParts(encodeRecord(record, content, place))) parts.push(Buffer.from(part))
  return parts
}

function fileOf(bytes: Uint8Array): { readonly location: string; readonly bytes: number } {
  const location = join(folder, createHash('sha256').update(bytes).digest('hex') satisfies BlobRef['digest'])
  writeFileSync(location, bytes)
  return { location, bytes: bytes.length }
}
