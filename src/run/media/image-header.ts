/**
 * Media type and size of an encoded image, from its first bytes: PNG (https://www.w3.org/TR/png-3/), JPEG (ITU T.81),
 * GIF (GIF89a), WebP (RFC 9649). Bytes come from anywhere and may be cut.
 */

export interface ImageHeader {
  readonly type: 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp'
  /** 0 where the header does not say or is cut. */
  readonly width: number
  readonly height: number
}

/** Undefined for bytes that are none of them. */
export function readImageHeader(bytes: Uint8Array): ImageHeader | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (starts(view, '\x89PNG\r\n\x1a\n')) {
    const size = view.length >= 24 && view.toString('latin1', 12, 16) === 'IHDR'
    return sized('image/png', size ? [view.readUInt32BE(16), view.readUInt32BE(20)] : undefined)
  }
  if (starts(view, 'GIF87a') || starts(view, 'GIF89a')) {
    return sized('image/gif', view.length >= 10 ? [view.readUInt16LE(6), view.readUInt16LE(8)] : undefined)
  }
  if (starts(view, '\xff\xd8\xff')) return sized('image/jpeg', jpegSize(view))
  if (starts(view, 'RIFF') && view.toString('latin1', 8, 12) === 'WEBP')
    return sized('image/webp', webpSize(view))
  return undefined
}

type Size = readonly [width: number, height: number] | undefined

function sized(type: ImageHeader['type'], size: Size): ImageHeader {
  return { type, width: size?.[0] ?? 0, height: size?.[1] ?? 0 }
}

function starts(bytes: Buffer, text: string): boolean {
  return bytes.toString('latin1', 0, text.length) === text
}

/** Segments one after the other up to the frame header (SOF0–SOF15 but DHT, JPG and DAC). */
function jpegSize(bytes: Buffer): Size {
  let at = 2
  while (at + 9 <= bytes.length) {
    if (bytes[at] !== 0xff) return undefined
    const marker = bytes[at + 1]!
    if (marker === 0xff) at++
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc)
      return [bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)]
    else at += 2 + bytes.readUInt16BE(at + 2)
  }
  return undefined
}

/** The first chunk: lossy, lossless or extended. */
function webpSize(bytes: Buffer): Size {
  if (bytes.length < 30) return undefined
  const chunk = bytes.toString('latin1', 12, 16)
  if (chunk === 'VP8 ') return [bytes.readUInt16LE(26) & 0x3fff, bytes.readUInt16LE(28) & 0x3fff]
  if (chunk === 'VP8L') {
    const bits = bytes.readUInt32LE(21)
    return [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1]
  }
  if (chunk === 'VP8X') return [bytes.readUIntLE(24, 3) + 1, bytes.readUIntLE(27, 3) + 1]
  return undefined
}
