import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { blobPath } from '../../../src/core/blob-path.ts'
import type { BlobRef, LoggedImage } from '../../../src/core/types.ts'
import { imagePath } from '../../../src/sinks/wandb/entries/images.ts'
import { MAX_VALUE_BYTES } from '../../../src/sinks/wandb/entries/text.ts'
import { type EntryRecord, entryOf } from '../../../src/sinks/wandb/entries.ts'
import { runInfo } from '../mlflow/points.ts'
import { storeBlob } from '../mlflow/run-blobs.ts'

const folder = mkdtempSync(join(tmpdir(), 'tracelet-wandb-'))
const run = runInfo({ folder })
const place = { step: 0, time: 1000 }
const told: string[] = []

/** Its only value. */
async function valueIn(record: EntryRecord): Promise<unknown> {
  const entries = await entryOf(record, run, (topic) => told.push(topic))
  assert.ok(!('refused' in entries), JSON.stringify(entries))
  assert.equal(entries.length, 1)
  assert.equal(entries[0]![0], record.name)
  return JSON.parse(entries[0]![1])
}
const digest = 'a2b7a406e4f7d5472ff866383af3ce0a2c2465796f8451fa311bc111d88ea64d'
const other = '12cf7875b12bdfa39f092ff866383af3ce0a2c2465796f8451fa311bc111d88e'
const image = (caption?: string, more: Partial<BlobRef> = {}): LoggedImage => ({
  image: { digest, bytes: 79, type: 'image/png', ...more },
  ...{ width: 2, height: 2 },
  ...(caption !== undefined && { caption }),
})
const images = (name: string, ...all: LoggedImage[]) =>
  ({ kind: 'images', name, ...place, images: all }) as const

describe('what stands at a step, as a value of the history', () => {
  after(() => rmSync(folder, { recursive: true, force: true }))

  // As SDK 0.31.0 has put these very images.
  it('an image as the SDK has it', async () => {
    assert.deepEqual(await valueIn(images('img', image('cap'))), {
      ...{ caption: 'cap', _type: 'image-file', sha256: digest, size: 79 },
      ...{ path: 'media/images/img_0_a2b7a406e4f7d5472ff8.png', format: 'png', width: 2, height: 2 },
    })
  })

  it('several images as the SDK has them', async () => {
    const two = [image('c1'), image(undefined, { digest: other })]
    const filenames = [
      'media/images/img_0_a2b7a406e4f7d5472ff8.png',
      'media/images/img_0_12cf7875b12bdfa39f09.png',
    ]
    const shared = { _type: 'images/separated', width: 2, height: 2, format: 'png', count: 2, filenames }
    assert.deepEqual(await valueIn(images('img', ...two)), { ...shared, captions: ['c1', null] })
    const plain = two.map(({ caption: _caption, ...rest }) => rest)
    assert.deepEqual(await valueIn(images('img', ...plain)), shared)
  })

  it('an image whose size nobody knows has none', async () => {
    const value = (await valueIn(images('img', { ...image(), width: 0, height: 0 }))) as object
    assert.ok(!('width' in value) && !('height' in value))
  })

  it('paths of images as the SDK makes them, and none that leads elsewhere', () => {
    const path = (name: string, type = 'image/png') =>
      imagePath(images(name, image()), image(undefined, { type }))
    const tail = '_0_a2b7a406e4f7d5472ff8'
    assert.equal(path('val/pre ds'), `media/images/val/pre ds${tail}.png`)
    assert.equal(path('../up'), `media/images/__/up${tail}.png`)
    assert.equal(path('a:b*c?d"e<f>|%#é.x\\y'), `media/images/a:b*c?d"e<f>|%#é.x\\y${tail}.png`)
    assert.equal(path('img', 'image/jpeg'), `media/images/img${tail}.jpg`)
    assert.equal(path('/a//b/./c'), `media/images/_/a/_/b/_/c${tail}.png`)
    assert.equal(path('a\u0000b\nc'), `media/images/a_b_c${tail}.png`)
    for (const part of path('é'.repeat(500)).split('/')) assert.ok(Buffer.byteLength(part) <= 255)
  })

  it('a histogram as the SDK has it', async () => {
    const record = {
      ...({ kind: 'histogram', name: 'h', ...place } as const),
      edges: Float64Array.of(-1, 0, 0.5, 1),
      counts: Float64Array.of(1, 0, 2.5),
    }
    assert.deepEqual(await valueIn(record), {
      _type: 'histogram',
      values: [1, 0, 2.5],
      bins: [-1, 0, 0.5, 1],
    })
  })

  it('a histogram of more than 512 bins by merging neighbours, told once', async () => {
    for (const bins of [512, 513, 1548, 4096]) {
      told.length = 0
      const record = {
        ...({ kind: 'histogram', name: 'h', ...place } as const),
        edges: Float64Array.from({ length: bins + 1 }, (_, at) => at),
        counts: Float64Array.from({ length: bins }, (_, at) => at),
      }
      const { values, bins: edges } = (await valueIn(record)) as { values: number[]; bins: number[] }
      assert.ok(values.length <= 512 && values.length > 256, `${bins}: ${values.length}`)
      assert.equal(edges.length, values.length + 1)
      assert.deepEqual([edges[0], edges.at(-1)], [0, bins])
      assert.equal(
        values.reduce((sum, one) => sum + one),
        (bins * (bins - 1)) / 2,
      )
      // each bin has what lies between its edges
      const of = (at: number) => (edges[at + 1]! - edges[at]!) * ((edges[at]! + edges[at + 1]! - 1) / 2)
      assert.deepEqual(
        values,
        values.map((_, at) => of(at)),
      )
      assert.deepEqual(told, bins > 512 ? ['bins'] : [])
    }
  })

  it('a text, also from the blob that a long one is', async () => {
    const text = 'Ünïcödé "quoted"\n\u{1f600} \ud800'
    assert.equal(await valueIn({ kind: 'text', name: 't', ...place, text }), text)
    const long = 'long '.repeat(1000)
    const blob = storeBlob(folder, long, 'text/plain')
    assert.equal(await valueIn({ kind: 'text', name: 't', ...place, text: blob }), long)
  })

  it('a text that is too long is cut to what W&B holds, never within a character', async () => {
    for (const letter of ['a', '"', 'é', '\u{1f600}', '\u0001']) {
      told.length = 0
      const text = letter.repeat(MAX_VALUE_BYTES)
      const entries = await entryOf({ kind: 'text', name: 't', ...place, text }, run, (topic) =>
        told.push(topic),
      )
      assert.ok(!('refused' in entries))
      const [[, json]] = entries as [[string, string]]
      const bytes = Buffer.byteLength(json)
      assert.ok(bytes <= MAX_VALUE_BYTES && bytes > MAX_VALUE_BYTES - 20, `${letter}: ${bytes}`)
      const value = JSON.parse(json) as string
      assert.ok(text.startsWith(value) && value.isWellFormed())
      assert.deepEqual(told, ['text'])
    }
  })

  it('refuses a text whose blob is missing, damaged or named by no digest', async () => {
    const gone = storeBlob(folder, 'gone', 'text/plain')
    rmSync(blobPath(folder, gone.digest))
    const damaged = storeBlob(folder, 'whole', 'text/plain')
    writeFileSync(blobPath(folder, damaged.digest), 'whale')
    const short = storeBlob(folder, 'longer', 'text/plain')
    writeFileSync(blobPath(folder, short.digest), 'long')
    for (const text of [gone, damaged, short, { ...gone, digest: '../../secret' }]) {
      const answer = await entryOf({ kind: 'text', name: 't', ...place, text }, run)
      assert.equal('refused' in answer && answer.refused.code, 'ERR_BLOB')
    }
  })
})
