/**
 * CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), the checksum of event files; node:zlib has only the other
 * CRC-32. Eight bytes at a time by eight tables ("slicing by 8"), because the checksum is the largest part of what
 * encoding a scalar costs.
 */

const T0 = new Uint32Array(256)
const T1 = new Uint32Array(256)
const T2 = new Uint32Array(256)
const T3 = new Uint32Array(256)
const T4 = new Uint32Array(256)
const T5 = new Uint32Array(256)
const T6 = new Uint32Array(256)
const T7 = new Uint32Array(256)

for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  T0[byte] = crc
}
for (let byte = 0; byte < 256; byte++) {
  let crc = T0[byte]!
  for (const table of [T1, T2, T3, T4, T5, T6, T7]) {
    crc = (crc >>> 8) ^ T0[crc & 0xff]!
    table[byte] = crc
  }
}

/**
 * CRC-32C of `bytes[start … end)`, an unsigned 32-bit number.
 * @param before that of the bytes that stand before them; default: there are none
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, before = 0): number {
  let crc = ~before
  let at = start
  for (const last = end - 7; at < last; at += 8) {
    crc =
      T7[(crc ^ bytes[at]!) & 0xff]! ^
      T6[((crc >>> 8) ^ bytes[at + 1]!) & 0xff]! ^
      T5[((crc >>> 16) ^ bytes[at + 2]!) & 0xff]! ^
      T4[(crc >>> 24) ^ bytes[at + 3]!]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!
  }
  if (at + 4 <= end) {
    crc =
      T3[(crc ^ bytes[at]!) & 0xff]! ^
      T2[((crc >>> 8) ^ bytes[at + 1]!) & 0xff]! ^
      T1[((crc >>> 16) ^ bytes[at + 2]!) & 0xff]! ^
      T0[(crc >>> 24) ^ bytes[at + 3]!]!
    at += 4
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

/** What event files store: a checksum of data that itself holds checksums would otherwise be weak. */
export function mask(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

export function maskedCrc32c(bytes: Uint8Array, start: number, end: number): number {
  return mask(crc32c(bytes, start, end))
}
