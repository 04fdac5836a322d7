/** Pixels become PNGs that hold exactly what was drawn. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodePng } from '../../../src/pipeline/parking/png.ts'
import { decodePng } from '../../decode-png.ts'
import { Random, SEED } from '../../random.ts'

test('every number of channels and both layouts come out as they went in', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  for (let round = 0; round < 60; round++) {
    const width = 1 + random.below(round < 20 ? 4 : 70)
    const height = 1 + random.below(round < 20 ? 4 : 70)
    const channels = 1 + random.below(4)
    const isPlanar = round % 2 === 1
    const data = Uint8Array.from({ length: width * height * channels }, () => random.below(256))
    const decoded = decodePng(encodePng({ data, width, height, channels, isPlanar }))
    assert.deepEqual([decoded.width, decoded.height, decoded.channels], [width, height, channels])
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let channel = 0; channel < channels; channel++) {
        const from = isPlanar ? channel * width * height + pixel : pixel * channels + channel
        assert.equal(decoded.data[pixel * channels + channel], data[from])
      }
    }
  }
})

test('reals from 0 to 1 are rounded to 0 … 255; what lies beyond is cut, NaN is black', () => {
  for (const Reals of [Float32Array, Float64Array]) {
    const data = Reals.of(0, 1, 0.5, -3, 7, Number.NaN, Infinity, -Infinity, 1 / 255)
    const { data: bytes } = decodePng(encodePng({ data, width: 9, height: 1, channels: 1, isPlanar: false }))
    assert.deepEqual([...bytes], [0, 255, 128, 0, 255, 0, 255, 0, 1])
  }
})
