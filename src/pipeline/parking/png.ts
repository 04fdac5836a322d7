/** Pixels as PNG: 8 bits a channel, rows filtered by their left neighbour, https://www.w3.org/TR/png-3/. */
import { crc32, deflateSync } from 'node:zlib'
import type { Pixels } from './messages.ts'

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
/** Colour type by number of channels: grey, grey and alpha, RGB, RGBA. */
const COLOUR_TYPES = [0, 0, 4, 2, 6] as const
const FILTER_SUB = 1

export function encodePng(pixels: Pixels): Uint8Array {
  const { width, height, channels } = pixels
  const header = new Uint8Array(13)
  const view = new DataView(header.buffer)
  view.setUint32(0, width)
  view.setUint32(4, height)
  header[8] = 8
  header[9] = COLOUR_TYPES[channels]!
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(filtered(pixels))),
    chunk('IEND', new Uint8Array(0)),
  ])
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + data.length)
  bytes.writeUInt32BE(data.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(data, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length)
  return bytes
}

/** Each row behind the number of its filter. */
function filtered(pixels: Pixels): Uint8Array {
  const { width, height, channels } = pixels
  const samples = toBytes(pixels)
  const rowBytes = width * channels
  const rows = new Uint8Array(height * (rowBytes + 1))
  let to = 0
  for (let y = 0; y < height; y++) {
    rows[to++] = FILTER_SUB
    const from = y * rowBytes
    for (let x = 0; x < rowBytes; x++) {
      rows[to++] = samples[from + x]! - (x < channels ? 0 : samples[from + x - channels]!)
    }
  }
  return rows
}

/** Samples as bytes, the channels of a pixel side by side. Reals are cut to 0 … 1; NaN is 0. */
function toBytes({ data, width, height, channels, isPlanar }: Pixels): Uint8Array {
  const isReal = data instanceof Float32Array || data instanceof Float64Array
  if (!isReal && !isPlanar) return data as Uint8Array
  // a clamped array rounds and cuts by itself
  const bytes = new Uint8ClampedArray(data.length)
  const scale = isReal ? 255 : 1
  const area = width * height
  for (let channel = 0; channel < channels; channel++) {
    for (let pixel = 0; pixel < area; pixel++) {
      const from = isPlanar ? channel * area + pixel : pixel * channels + channel
      bytes[pixel * channels + channel] = data[from]! * scale
    }
  }
  return new Uint8Array(bytes.buffer)
}
