/** Reads PNGs of 8 bits a channel, every filter of the standard: what was written is compared with what was drawn. */
import { crc32, inflateSync } from 'node:zlib'

export interface DecodedPng {
  readonly width: number
  readonly height: number
  readonly channels: number
  readonly data: Uint8Array
}

const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 4: 2, 6: 4 }

export function decodePng(bytes: Uint8Array): DecodedPng {
  const file = Buffer.from(bytes)
  if (file.toString('latin1', 0, 8) !== '\x89PNG\r\n\x1a\n') throw new Error('not a PNG')
  const chunks: { type: string; data: Buffer }[] = []
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at)
    const body = file.subarray(at + 4, at + 8 + length)
    if (crc32(body) !== file.readUInt32BE(at + 8 + length)) throw new Error('a chunk is damaged')
    chunks.push({ type: body.toString('latin1', 0, 4), data: body.subarray(4) })
    at += 12 + length
  }
  const header = chunks[0]!
  if (header.type !== 'IHDR' || chunks.at(-1)!.type !== 'IEND') throw new Error('chunks are out of order')
  const width = header.data.readUInt32BE(0)
  const height = header.data.readUInt32BE(4)
  const channels = CHANNELS[header.data[9]!]
  if (header.data[8] !== 8 || channels === undefined) throw new Error('not 8 bits a channel')
  const rows = inflateSync(
    Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data)),
  )
  return { width, height, channels, data: unfilter(rows, width * channels, height, channels) }
}

function unfilter(rows: Buffer, rowBytes: number, height: number, channels: number): Uint8Array {
  const data = new Uint8Array(rowBytes * height)
  if (rows.length !== (rowBytes + 1) * height) throw new Error('rows are missing')
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (rowBytes + 1)]!
    for (let x = 0; x < rowBytes; x++) {
      const at = y * rowBytes + x
      const left = x < channels ? 0 : data[at - channels]!
      const up = y === 0 ? 0 : data[at - rowBytes]!
      const corner = x < channels || y === 0 ? 0 : data[at - rowBytes - channels]!
      data[at] = rows[y * (rowBytes + 1) + 1 + x]! + predicted(filter, left, up, corner)
    }
  }
  return data
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  if (filter === 0) return 0
  if (filter === 1) return left
  if (filter === 2) return up
  if (filter === 3) return (left + up) >> 1
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(left + up - corner - value)) as [
    number,
    number,
    number,
  ]
  return a <= b && a <= c ? left : b <= c ? up : corner
}
